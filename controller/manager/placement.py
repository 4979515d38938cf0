"""Placement: which node an instance goes to. Pure functions on what is known; writes nothing.

Filter, then score, and words for why nothing fits as kube-scheduler has them.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from controller.api import reasons
from controller.api.challenge import TemplateSpec
from controller.api.instance import ChallengeInstance
from controller.api.template import published_ports
from controller.manager.assignments import (
    Assigned,
    Assignments,
    Load,
    MemoryRule,
    is_launched,
    memory_of,
    ports_of,
)
from controller.manager.nodes import Node, Nodes

__all__ = [
    "BACKLOG",
    "Assigned",
    "Assignments",
    "Demand",
    "Load",
    "MemoryRule",
    "Refusal",
    "choose",
    "choose_for",
    "demand_of",
    "has_room",
    "is_launched",
    "ports_of",
]

BACKLOG: Final = 8
"""Unlaunched instances on a node for each slot of its launch gate; the rest wait here."""

BUSY: Final = "launching as much as they can"
OUT_OF_PORTS: Final = "out of ports"
OUT_OF_MEMORY: Final = "out of memory"


@dataclass(frozen=True, slots=True)
class Demand:
    """All that placement asks of an instance; two that are equal fit the same nodes."""

    ports: int = 0
    memory: int = 0
    node_name: str = ""
    node_selector: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """No node fits: the reason constant, and the nodes counted by what is missing."""

    reason: str
    message: str


def demand_of(instance: ChallengeInstance, template: TemplateSpec, rule: MemoryRule) -> Demand:
    """What an instance of that template needs of a node."""
    return Demand(
        len(published_ports(template)),
        memory_of(template, rule.default),
        instance.spec.node_name or "",
        tuple(sorted(instance.spec.node_selector.items())),
    )


def choose(
    instance: ChallengeInstance, template: TemplateSpec, nodes: Nodes, assigned: Assignments
) -> str | Refusal:
    """The name of the best node for the instance, or why there is none."""
    return choose_for(demand_of(instance, template, assigned.memory), nodes, assigned)


def choose_for(demand: Demand, nodes: Nodes, assigned: Assignments) -> str | Refusal:
    """The name of the best node for that demand, or why there is none."""
    problems: Counter[str] = Counter()
    best: tuple[float, str] | None = None
    for name, node in nodes.by_name.items():
        if problem := _unfit(demand, name, node, nodes, assigned):
            problems[problem] += 1
            continue
        score = (_busy(name, node, nodes, assigned), name)
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


def _unfit(demand: Demand, name: str, node: Node, nodes: Nodes, assigned: Assignments) -> str:
    """Why the node cannot take it; what lasts is named before what passes by itself."""
    if demand.node_name and demand.node_name != name:
        return "not the one in nodeName"
    if problem := node.problem():
        return problem
    if demand.node_selector and not node.matches(dict(demand.node_selector)):
        return "not matching nodeSelector"
    load = _taken(node, assigned.load(name))
    if problem := _lacks(demand, node, load, assigned.memory.overcommit):
        return problem
    return BUSY if load.unlaunched >= BACKLOG * nodes.launches(name) else ""


def _lacks(demand: Demand, node: Node, load: Load, overcommit: float) -> str:
    """What there is too little of on the node; what it has not told yet is no obstacle."""
    most, has = node.object.spec.max_instances, node.object.status.allocatable
    # The operator's word counts at once; its agent puts it into the status a while later.
    if most is not None and load.instances >= most:
        return "full"
    if has is None:
        return ""
    if has.instances is not None and load.instances >= has.instances:
        return "full"
    if has.ports is not None and load.ports + demand.ports > has.ports:
        return OUT_OF_PORTS
    if has.memory is not None and load.memory + demand.memory > has.memory * overcommit:
        return OUT_OF_MEMORY
    return ""


def _taken(node: Node, load: Load) -> Load:
    """What was assigned to the node, and what it holds that no object tells of."""
    held = node.object.status.orphans
    if held is None:
        return load
    return Load(
        instances=load.instances + held.instances,
        ports=load.ports + held.ports,
        unlaunched=load.unlaunched,
        memory=load.memory + held.memory,
    )


def _busy(name: str, node: Node, nodes: Nodes, assigned: Assignments) -> float:
    """The smaller the better: launches to come for each slot, then instances for each port."""
    load, has = _taken(node, assigned.load(name)), node.object.status.allocatable
    ports = (has.ports if has else None) or 1
    return load.unlaunched / nodes.launches(name) + load.ports / ports


def _refusal(problems: Counter[str], total: int) -> Refusal:
    parts = ", ".join(f"{count} {problem}" for problem, count in sorted(problems.items()))
    message = f"0/{total} nodes are available: {parts}" if total else "There is no ChallengeNode"
    if BUSY in problems:
        return Refusal(reasons.WAITING_FOR_NODE, message)
    if OUT_OF_PORTS in problems:
        return Refusal(reasons.PORTS_EXHAUSTED, message)
    return Refusal(reasons.UNSCHEDULABLE, message)
