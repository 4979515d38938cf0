"""The conditions of a ChallengeNode: what its agent says of the node's health, aspect by aspect."""

from typing import Final, NamedTuple

from controller.agent.resources import is_low
from controller.api import conditions, reasons
from controller.api.meta import rfc3339
from controller.api.node import ChallengeNode, NodeStatus
from controller.reconcile.hold import Held
from controller.reconcile.services import Services

PRESSURES: Final = {
    conditions.PORT_PRESSURE: "Ports",
    conditions.NETWORK_PRESSURE: "Networks",
    conditions.DISK_PRESSURE: "Disk",
}
"""What `kubectl get` says of those that are True."""


class Said(NamedTuple):
    """A condition's value, and why."""

    value: bool
    reason: str
    message: str


def put(
    status: NodeStatus, node: ChallengeNode, services: Services, *, short: str, overlap: str
) -> list[str]:
    """Draft the conditions of a status whose amounts are there; what runs short, for `kubectl get`.

    ``short`` says what the disks are short of, ``overlap`` what the range of ports shares with
    others; both are empty when there is nothing to say.
    """
    problem = services.engine_problem or services.gate.hanging
    ledger = services.ledger.problem
    said = {
        conditions.READY: _ready(node, services, problem),
        conditions.DOCKER_REACHABLE: _healthy(problem, reasons.DOCKER_UNAVAILABLE),
        conditions.FIREWALL_READY: _firewall(services),
        conditions.LEDGER_HEALTHY: _healthy(ledger, reasons.LEDGER_UNAVAILABLE),
        conditions.RECONCILED: _reconciled(services),
        conditions.PORT_PRESSURE: _ports(status),
        conditions.NETWORK_PRESSURE: _networks(status),
        conditions.DISK_PRESSURE: _pressure(short),
        conditions.ORPHANS_HELD: _orphans(services.hold.summary(), services.settings.node_name),
        conditions.PORT_RANGE_OVERLAP: Said(
            bool(overlap), reasons.SHARED_PORTS if overlap else reasons.AVAILABLE, overlap
        ),
    }
    now = services.clock.now().replace(microsecond=0)
    for kind, (value, reason, message) in said.items():
        conditions.set_condition(
            status.conditions,
            kind,
            "True" if value else "False",
            reason,
            message,
            now=now,
            observed_generation=node.metadata.generation,
        )
    return [word for kind, word in PRESSURES.items() if said[kind].value]


def is_short_of_disk(status: NodeStatus) -> bool:
    """Whether the status says so."""
    return conditions.is_true(status.conditions, conditions.DISK_PRESSURE)


def _ready(node: ChallengeNode, services: Services, problem: str) -> Said:
    """Whether the node serves; where it does, whether it takes new instances."""
    if problem:
        return Said(False, reasons.DOCKER_UNAVAILABLE, problem)
    if ledger := services.ledger.problem:
        return Said(False, reasons.LEDGER_UNAVAILABLE, ledger)
    if unsafe := services.unsafe:
        return Said(False, unsafe.reason, unsafe.message)
    if node.spec.drain:
        who = "instances" if node.spec.drain == "All" else "instances of ChallengePools"
        return Said(True, reasons.DRAINING, f"Its {who} move to other nodes")
    if node.spec.unschedulable:
        return Said(True, reasons.CORDONED, "It gets no new instances")
    return Said(True, reasons.READY, "")


def _healthy(problem: str, reason: str) -> Said:
    return Said(not problem, reason if problem else reasons.AVAILABLE, problem)


def _reconciled(services: Services) -> Said:
    """Whether what the agent found when it started was put right, and what it was."""
    if services.findings.is_over:
        return Said(True, reasons.RECONCILED, services.findings.told)
    message = "Ledger, engine and API server are being compared; nothing is launched before"
    return Said(False, reasons.STARTING_UP, message)


def _firewall(services: Services) -> Said:
    """Whether instances are kept apart, and what to say of it."""
    if unsafe := services.unsafe:
        return Said(False, unsafe.reason, unsafe.message)
    if services.settings.firewall == "off":
        message = "CHALLENGE_FIREWALL=off: its operator keeps instances from the host"
        return Said(False, reasons.FIREWALL_OFF, message)
    return Said(True, reasons.AVAILABLE, "")


def _orphans(held: Held | None, node: str) -> Said:
    """Whether instances run on that the API server does not know, and what to do about it."""
    if held is None:
        return Said(False, reasons.AVAILABLE, "")
    message = (
        f"{held.instances} instances that run here have vanished from the API server, and nobody "
        f"was seen to delete them: {held.names}. If a backup was restored, restore a newer one or "
        f"have them created anew; they are torn down at {rfc3339(held.until)}. If they are to go, "
        f"kubectl challenge confirm-orphans {node}"
    )
    return Said(True, reasons.ORPHANS_HELD, message)


def _pressure(message: str) -> Said:
    return Said(bool(message), reasons.LOW if message else reasons.AVAILABLE, message)


def _ports(status: NodeStatus) -> Said:
    may, has = status.allocatable, status.allocated
    if may is None or has is None:
        return _pressure("")
    return _scarce(
        status,
        conditions.PORT_PRESSURE,
        may.ports,
        has.ports,
        "{} of {} host ports are free: widen portRange",
    )


def _networks(status: NodeStatus) -> Said:
    may, has = status.allocatable, status.allocated
    if may is None or has is None:
        return _pressure("")
    return _scarce(
        status,
        conditions.NETWORK_PRESSURE,
        may.networks,
        has.networks,
        "{} of {} networks for instances of several containers are free: widen "
        "CHALLENGE_INSTANCE_SUBNETS",
    )


def _scarce(status: NodeStatus, kind: str, may: int | None, has: int | None, message: str) -> Said:
    """Whether little is left of something; the message takes what is free, and of how much."""
    total, free = may or 0, (may or 0) - (has or 0)
    low = is_low(free, total, before=conditions.is_true(status.conditions, kind))
    return _pressure(message.format(free, total) if low else "")
