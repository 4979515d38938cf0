"""Placement: which node an instance goes to. Pure functions on what is known; writes nothing.

Filter, then score, and words for why nothing fits as kube-scheduler has them.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from controller.api import conditions, reasons
from controller.api.challenge import TemplateSpec
from controller.api.instance import ChallengeInstance
from controller.api.template import published_ports
from controller.manager.nodes import Nodes

BACKLOG: Final = 8
"""Unlaunched instances on a node for each slot of its launch gate; the rest wait here."""

BUSY: Final = "launching as much as they can"
OUT_OF_PORTS: Final = "out of ports"


@dataclass
class Load:
    """What has been assigned to a node, reported by it or not yet."""

    instances: int = 0
    ports: int = 0
    unlaunched: int = 0


@dataclass
class Assigned:
    """One instance that has a node."""

    node: str
    ports: int
    launched: bool
    challenge: str = ""


@dataclass
class Assignments:
    """All instances that have a node, counted by node: what the manager itself has decided."""

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

    def by_challenge(self) -> Counter[str]:
        """How many instances each Challenge (namespace/name) has."""
        return Counter(assigned.challenge for assigned in self.by_uid.values())

    def load(self, node: str) -> Load:
        """What a node has been given."""
        return self.loads.setdefault(node, Load())

    def _add(self, assigned: Assigned | None, sign: int) -> None:
        if assigned is None:
            return
        load = self.load(assigned.node)
        load.instances += sign
        load.ports += sign * assigned.ports
        load.unlaunched += sign * (not assigned.launched)


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
    template = instance.status.template
    if template is None or conditions.is_true(instance.status.conditions, conditions.EXPIRED):
        return 0
    return len(published_ports(template))


@dataclass(frozen=True)
class Refusal:
    """No node fits: the reason constant, and the nodes counted by what is missing."""

    reason: str
    message: str


def choose(
    instance: ChallengeInstance, template: TemplateSpec, nodes: Nodes, assigned: Assignments
) -> str | Refusal:
    """The name of the best node for the instance, or why there is none."""
    problems: Counter[str] = Counter()
    best: tuple[float, str] | None = None
    for name in sorted(nodes.by_name):
        if problem := _unfit(instance, template, name, nodes, assigned):
            problems[problem] += 1
            continue
        score = (_busy(name, nodes, assigned), name)
        best = min(best, score) if best else score
    if best:
        return best[1]
    return _refusal(problems, len(nodes.by_name))


def has_room(nodes: Nodes, assigned: Assignments) -> bool:
    """Whether any node would take some instance now."""
    return any(
        not node.problem() and assigned.load(name).unlaunched < BACKLOG * nodes.launches(name)
        for name, node in nodes.by_name.items()
    )


def _unfit(
    instance: ChallengeInstance,
    template: TemplateSpec,
    name: str,
    nodes: Nodes,
    assigned: Assignments,
) -> str:
    node, load = nodes.by_name[name], assigned.load(name)
    spec, has = instance.spec, node.object.metadata.labels
    allocatable = node.object.status.allocatable
    if spec.node_name and spec.node_name != name:
        return "not the one in nodeName"
    if problem := node.problem():
        return problem
    if any(has.get(key) != value for key, value in spec.node_selector.items()):
        return "not matching nodeSelector"
    if allocatable and allocatable.instances is not None:
        if load.instances >= allocatable.instances:
            return "full"
        if load.ports + len(published_ports(template)) > (allocatable.ports or 0):
            return OUT_OF_PORTS
    if load.unlaunched >= BACKLOG * nodes.launches(name):
        return BUSY
    return ""


def _busy(name: str, nodes: Nodes, assigned: Assignments) -> float:
    """The smaller the better: launches to come for each slot, then instances for each port."""
    load, node = assigned.load(name), nodes.by_name[name].object
    ports = (node.status.allocatable.ports if node.status.allocatable else None) or 1
    return load.unlaunched / nodes.launches(name) + load.ports / ports


def _refusal(problems: Counter[str], total: int) -> Refusal:
    parts = ", ".join(f"{count} {problem}" for problem, count in sorted(problems.items()))
    message = f"0/{total} nodes are available: {parts}" if total else "There is no ChallengeNode"
    if BUSY in problems:
        return Refusal(reasons.WAITING_FOR_NODE, message)
    if OUT_OF_PORTS in problems:
        return Refusal(reasons.PORTS_EXHAUSTED, message)
    return Refusal(reasons.UNSCHEDULABLE, message)
