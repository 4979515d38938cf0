"""What a node holds as OrphansHeld is taken, though no object tells of it."""

from typing import Any

import pytest

from controller.api import reasons
from controller.api.challenge import TemplateSpec
from controller.manager.nodes import Nodes
from controller.manager.placement import Assigned, Assignments, Refusal, choose
from tests.unit.manager.objects import instance, node_body, template

GIB = 2**30


def holding(amounts: dict[str, int], has: dict[str, Any] | None = None, name: str = "a") -> Nodes:
    """A node with this allocatable that holds these amounts."""
    body = node_body(name, **(has or {}))
    times = {"since": "2026-01-31T12:00:00Z", "until": "2026-01-31T12:10:00Z"}
    body["status"]["orphans"] = {"instances": 6} | amounts | times
    made = Nodes(lambda: None, 2)
    made.observe(body, deleted=False)
    made.by_name[name].alive = True
    return made


def chosen(among: Nodes, ports: int = 1, memory: str = "") -> str | Refusal:
    assigned = Assignments()
    assigned.put("x", Assigned("a", 2, True, "", GIB // 4))
    wanted = TemplateSpec.model_validate(template(ports, memory))
    return choose(instance("new"), wanted, among, assigned)


@pytest.mark.parametrize(
    ("has", "amounts", "fits", "refused"),
    [
        ({"ports": 10}, {"ports": 7}, {"ports": 1}, {"ports": 2}),
        ({"memory": GIB}, {"memory": GIB // 2}, {"memory": "256Mi"}, {"memory": "257Mi"}),
    ],
)
def test_ports_and_memory_of_held_instances_are_not_promised_again(
    has: dict[str, Any], amounts: dict[str, int], fits: dict[str, Any], refused: dict[str, Any]
) -> None:
    assert chosen(holding(amounts, has), **fits) == "a"
    assert isinstance(chosen(holding(amounts, has), **refused), Refusal)


def test_held_instances_count_among_the_most_that_a_node_may_have() -> None:
    full = Refusal(reasons.UNSCHEDULABLE, "0/1 nodes are available: 1 full")
    for has in ({"instances": 7}, {"maxInstances": 7}):
        assert chosen(holding({}, has)) == full
    for has in ({"instances": 8}, {"maxInstances": 8}):
        assert chosen(holding({}, has)) == "a"


def test_a_node_that_holds_some_is_the_busier_one() -> None:
    among = holding({"ports": 12}, name="b")
    among.observe(node_body("c"), deleted=False)
    among.by_name["c"].alive = True
    assert chosen(among) == "c"
