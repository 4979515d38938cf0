"""What every node has been given: the manager's own account of what it has decided.

It counts an instance from the moment that its node is chosen, long before the node reports it.
Writes nothing and chooses nothing.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from controller.api import conditions, reasons
from controller.api.challenge import TemplateSpec
from controller.api.instance import ChallengeInstance
from controller.api.template import published_ports
from controller.api.values import parse_memory


@dataclass(frozen=True)
class MemoryRule:
    """How memory is promised: bytes of a container without a limit, and times what a node has."""

    default: int = 0
    """One that names no limit promises itself none: what it is held to only keeps it in bounds."""
    overcommit: float = 1.0


@dataclass(slots=True)
class Load:
    """What has been assigned to a node, reported by it or not yet; memory in bytes."""

    instances: int = 0
    ports: int = 0
    unlaunched: int = 0
    memory: int = 0


@dataclass(slots=True)
class Assigned:
    """One instance that has a node."""

    node: str
    ports: int
    launched: bool
    challenge: str = ""
    memory: int = 0


@dataclass
class Assignments:
    """All instances that have a node, counted by node: what the manager itself has decided."""

    memory: MemoryRule = field(default_factory=MemoryRule)
    by_uid: dict[str, Assigned] = field(default_factory=dict)
    loads: dict[str, Load] = field(default_factory=dict)

    def put(self, uid: str, assigned: Assigned) -> bool:
        """Count an instance; returns whether that makes room for another one somewhere."""
        before = self.by_uid.get(uid)
        if before == assigned:
            return False
        self._add(before, -1)
        self._add(assigned, 1)
        self.by_uid[uid] = assigned
        return before is not None

    def drop(self, uid: str) -> bool:
        """Count an instance no more; returns whether it was counted."""
        before = self.by_uid.pop(uid, None)
        self._add(before, -1)
        return before is not None

    def observed(self, instance: ChallengeInstance, node: str) -> Assigned:
        """What an instance takes of the node that it has."""
        return Assigned(
            node,
            ports_of(instance),
            is_launched(instance),
            challenge_key(instance),
            self._memory_of(instance),
        )

    @contextmanager
    def without(self, uid: str) -> "Iterator[Assignments]":
        """These as if that instance had no node; it may have one in doubt."""
        counted = self.by_uid.get(uid)
        self._add(counted, -1)
        try:
            yield self
        finally:
            self._add(counted, 1)

    def by_challenge(self) -> Counter[str]:
        """How many instances each Challenge (namespace/name) has."""
        return Counter(assigned.challenge for assigned in self.by_uid.values())

    def load(self, node: str) -> Load:
        """What a node has been given."""
        found = self.loads.get(node)
        if found is None:
            found = self.loads[node] = Load()
        return found

    def _memory_of(self, instance: ChallengeInstance) -> int:
        template = _held(instance)
        return memory_of(template, self.memory.default) if template else 0

    def _add(self, assigned: Assigned | None, sign: int) -> None:
        if assigned is None:
            return
        load = self.load(assigned.node)
        load.instances += sign
        load.ports += sign * assigned.ports
        load.unlaunched += sign * (not assigned.launched)
        load.memory += sign * assigned.memory


def is_launched(instance: ChallengeInstance) -> bool:
    """Whether an instance with a node is no more, or not now, on its way to a launch.

    One that fails or waits for something else does not count as work that its node has before it:
    a few with an image that does not exist would keep everybody else off the node.
    """
    status = instance.status.conditions
    if instance.is_deleting or conditions.is_true(status, conditions.LAUNCHED):
        return True
    if conditions.is_true(status, conditions.EXPIRED):
        return True
    ready = conditions.get(status, conditions.READY)
    return ready is not None and ready.reason not in reasons.PROGRESS


def ports_of(instance: ChallengeInstance) -> int:
    """Host ports that an instance with a node takes; one retained after its time has none."""
    template = _held(instance)
    return len(published_ports(template)) if template else 0


def memory_of(template: TemplateSpec, default: int) -> int:
    """Bytes of memory that its containers may use together; ``default`` for one without a limit."""
    limits = (container.resources.limits.memory for container in template.containers)
    return sum(default if limit is None else parse_memory(limit) for limit in limits)


def challenge_key(instance: ChallengeInstance) -> str:
    """``namespace/name`` of the Challenge that an instance refers to; empty when to none."""
    ref = instance.spec.challenge_ref
    return f"{instance.metadata.namespace}/{ref.name}" if ref else ""


def _held(instance: ChallengeInstance) -> TemplateSpec | None:
    """The template by which an instance takes from its node; None when it takes nothing."""
    if conditions.is_true(instance.status.conditions, conditions.EXPIRED):
        return None
    return instance.status.template
