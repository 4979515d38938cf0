"""What a node has, what instances may take of it, and what they have taken.

Pure functions on what was looked up elsewhere.
"""

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Final

from controller.api.node import NodeResources, NodeStatus, NodeSummary
from controller.ledger import Totals
from controller.reconcile import bridges, ownnetworks
from controller.settings import Settings

LOW: Final = 0.05
"""Share of what is left at which the node says that it runs out of it."""
ENOUGH: Final = 0.10
"""Share at which it says so no longer: what comes and goes at the limit must not flicker."""
GIB: Final = 2**30


@dataclass(frozen=True)
class Memory:
    """Bytes: of the engine's machine, of the instances' cgroup, and promised by their limits.

    `machine` is None before the engine was reached, `limit` where no cgroup has one.
    """

    machine: int | None
    limit: int | None
    promised: int


def networks(settings: Settings) -> int:
    """How many instances can have a network of their own at once."""
    return _blocks(settings.instance_subnets, ownnetworks.PREFIX)


def room(settings: Settings) -> int:
    """How many instances there can be by settings and networks, whatever else they need."""
    shared = _blocks(settings.shared_subnets, bridges.PREFIX) * bridges.ROOM
    return min(settings.max_instances, shared + networks(settings))


def _blocks(pool: str, prefix: int) -> int:
    return int(2 ** (prefix - IPv4Network(pool).prefixlen))


def put(
    status: NodeStatus, totals: Totals, memory: Memory, settings: Settings, most: int | None
) -> None:
    """Draft capacity, allocatable and allocated; ``most`` is the operator's spec.maxInstances."""
    instances, own = room(settings), networks(settings)
    usable = memory.machine
    if usable is not None and memory.limit is not None:
        usable = min(usable, memory.limit)
    status.capacity = NodeResources(
        instances=instances, ports=totals.ports.total, networks=own, memory=memory.machine
    )
    status.allocatable = NodeResources(
        instances=instances if most is None else min(most, instances),
        ports=totals.ports.total - totals.ports.aside,
        networks=own,
        memory=usable,
    )
    status.allocated = NodeResources(
        instances=totals.instances,
        ports=totals.ports.held,
        networks=totals.subnets,
        memory=memory.promised,
    )


def is_low(free: int, of: int, *, before: bool) -> bool:
    """Whether little is left; ``before``: it was so at the last look."""
    return free <= of * (ENOUGH if before else LOW)


def summary(status: NodeStatus, pressure: list[str]) -> NodeSummary:
    """The amounts in few words; those not known yet are left out."""
    may, has, launch = status.allocatable, status.allocated, status.launch
    if may is None or has is None or launch is None:
        return NodeSummary(pressure=",".join(pressure))
    memory = f"{(has.memory or 0) / GIB:.1f}/{may.memory / GIB:.1f}Gi" if may.memory else ""
    return NodeSummary(
        instances=f"{has.instances}/{may.instances}",
        ports=f"{has.ports}/{may.ports}",
        memory=memory,
        launches=f"{launch.launching}+{launch.waiting}",
        pressure=",".join(pressure),
    )
