"""Conditions: their model, their types, and pure functions on a list of them.

Must know neither who sets a condition nor when. A list is changed in place and keeps its order.
"""

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field

from controller.api.meta import Model
from controller.api.values import Generation, Timestamp, fit

SCHEDULED: Final = "Scheduled"
"""A node has been chosen for the instance."""
PORTS_RESERVED: Final = "PortsReserved"
"""The ledger of its node holds a host port for each of its ports."""
LAUNCHED: Final = "Launched"
"""All of its containers have been started."""
READY: Final = "Ready"
"""All of its containers run and answer their probes; on a node: its agent serves."""
RECONCILING: Final = "Reconciling"
"""kstatus: the controller is at work on it, or tries again what has failed once or twice."""
STALLED: Final = "Stalled"
"""kstatus: it does not get further without somebody's help: trying again cannot help, or has not
helped three times in a row. What can be tried again still is, with long pauses."""
SUSPENDED: Final = "Suspended"
"""Its containers are paused, its ports kept."""
EXPIRED: Final = "Expired"
"""Its time is over and `onExpiry` is Retain: containers and ports are gone."""
PRE_PULLED: Final = "PrePulled"
"""On a Challenge with `prePull`: every node has its images; the message names those that lack
one."""
DOCKER_REACHABLE: Final = "DockerReachable"
"""On a node: its engine answers."""
FIREWALL_READY: Final = "FirewallReady"
"""On a node: the rules that keep instances from the host and each other are in force."""
LEDGER_HEALTHY: Final = "LedgerHealthy"
"""On a node: its ledger can be read and written."""
RECONCILED: Final = "Reconciled"
"""On a node: what its agent found when it started has been put right; nothing is launched before.
"""
PORT_PRESSURE: Final = "PortPressure"
"""On a node: its range of host ports is nearly or wholly taken."""
NETWORK_PRESSURE: Final = "NetworkPressure"
"""On a node: its range of subnets is nearly or wholly taken."""
DISK_PRESSURE: Final = "DiskPressure"
"""On a node: the disk of its engine, or of its agent's state folder, is nearly full; it gets no new
instances until there is room again. Those that run are left alone."""
PORT_RANGE_OVERLAP: Final = "PortRangeOverlap"
"""On a node: its range of host ports has some that others on the host use: the cluster's NodePorts,
or those that the kernel takes for connections. It serves all the same."""
ORPHANS_HELD: Final = "OrphansHeld"
"""On a node: too many of its instances have vanished from the API server at once, and nobody was
seen to delete them; none of them is torn down for now."""
UNINSTALLED: Final = "Uninstalled"
"""On a node: its agent was asked to take away what outlives it, and has done so, or says what keeps
it from it."""

MESSAGE_LIMIT: Final = 4096

Status = Literal["True", "False", "Unknown"]


class Condition(Model):
    """One aspect of an object's state, in the form that all Kubernetes tools read."""

    type: Annotated[str, Field(min_length=1, max_length=64, pattern="^[A-Z][A-Za-z0-9]*$")]
    """What it is about, such as Ready."""
    status: Status
    """True, False or Unknown."""
    reason: Annotated[str, Field(min_length=1, max_length=128, pattern="^[A-Z][A-Za-z0-9]*$")]
    """Why, as one documented word."""
    message: Annotated[str, Field(max_length=MESSAGE_LIMIT)] = ""
    """Why, for people; it names what was expected and what to do."""
    last_transition_time: Timestamp
    """When the status (not the reason) last changed."""
    observed_generation: Generation | None = None
    """The metadata.generation that the condition is about."""


Conditions = Annotated[
    list[Condition],
    Field(
        max_length=16,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    ),
]


def get(conditions: list[Condition], type: str) -> Condition | None:
    """Return the condition of that type, or None."""
    return next((c for c in conditions if c.type == type), None)


def is_true(conditions: list[Condition], type: str) -> bool:
    """Tell whether the condition of that type is there and True."""
    found = get(conditions, type)
    return found is not None and found.status == "True"


def set_condition(
    conditions: list[Condition],
    type: str,
    status: Status,
    reason: str,
    message: str = "",
    *,
    now: datetime,
    observed_generation: int | None,
) -> bool:
    """Set a condition in place; return whether anything but the observed time changed.

    `lastTransitionTime` moves to `now` (aware) only when the status changes. A message longer than
    4096 characters, which an engine's error can be, is cut: the API server would refuse it.
    """
    wanted = Condition(
        type=type,
        status=status,
        reason=reason,
        message=fit(message, MESSAGE_LIMIT),
        last_transition_time=now.replace(microsecond=0),
        observed_generation=observed_generation,
    )
    found = get(conditions, type)
    if found is None:
        conditions.append(wanted)
        return True
    if found.status == status:
        wanted.last_transition_time = found.last_transition_time
    if wanted == found:
        return False
    conditions[conditions.index(found)] = wanted
    return True


def remove(conditions: list[Condition], type: str) -> bool:
    """Take the condition of that type out, in place; return whether it was there."""
    found = get(conditions, type)
    if found is None:
        return False
    conditions.remove(found)
    return True
