"""A node that is cut off: who moves and who stays, and what it does itself when it is back."""

from hack.bed.fleet import Fleet
from tests.integration.world import container, instance, until
from tests.nodes.nodes import Nodes

PATIENT = {"CHALLENGE_NODE_LOSS_TIMEOUT": "120"}
"""For a manager that waits for a lost node for longer than the test lasts."""


def patient(fleet: Fleet) -> None:
    """Have a manager that moves nothing for two minutes."""
    fleet.manager.stop()
    fleet.start_manager(env=PATIENT).wait_until_serving()


def reason(nodes: Nodes, name: str) -> str:
    """Why an instance is ready, or is not; empty when it does not say."""
    return str(nodes.condition(name).get("reason", ""))


def said(nodes: Nodes) -> set[tuple[str, str]]:
    """Status and reason of the nodes' Ready."""
    found = [nodes.node(number).node_condition("Ready") for number in nodes.fleet.numbers]
    return {(each["status"], each["reason"]) for each in found}


def test_what_is_on_a_node_cut_off_for_long_moves_once_and_the_old_copies_go_on_its_return(
    nodes: Nodes, echo_image: str
) -> None:
    first = [f"first-{number}" for number in range(6)]
    more = [f"more-{number}" for number in range(6)]
    nodes.apply(*(instance(name, container(echo_image)) for name in first))
    nodes.wait("Ready", timeout=120)
    there = {name for name, node in nodes.placed().items() if node == "node-2"}
    assert there
    nodes.apply(*(instance(name, container(echo_image)) for name in more))
    nodes.fleet.cut(2)

    until(lambda: nodes.node(2).node_condition("Ready").get("reason"), lambda r: r == "NodeLost")
    until(nodes.placed, lambda placed: len(placed) == 12 and "node-2" not in placed.values())
    nodes.wait("Ready", timeout=120)
    assert nodes.node(2).containers(), "the link is down, not the engine"
    before = nodes.placed()

    nodes.fleet.join(2)
    until(lambda: nodes.node(2).containers(), lambda left: left == [])
    until(lambda: nodes.node(2).rows(), lambda rows: rows == {})
    assert nodes.node(2).ports_held() == 0
    until(lambda: nodes.node(2).node_condition("Ready").get("status"), lambda s: s == "True")

    assert nodes.placed() == before
    nodes.assert_all_answer(*first, *more)
    nodes.assert_told_once("Rescheduled", *there)
    moved = {name: nodes.events(name).count("Rescheduled") for name in (*first, *more)}
    assert set(moved.values()) == {0, 1}


def test_a_short_cut_moves_nothing_and_ready_comes_back_with_the_same_containers(
    nodes: Nodes, echo_image: str
) -> None:
    patient(nodes.fleet)
    nodes.apply(*(instance(f"i{n}", container(echo_image), nodeName="node-2") for n in range(2)))
    nodes.apply(instance("elsewhere", container(echo_image), nodeName="node-1"))
    nodes.wait("Ready")
    ids = {c["Id"] for c in nodes.node(2).containers()}
    untouched = nodes.versions()["elsewhere"]
    ports = nodes.get("i0")["status"]["ports"]

    nodes.fleet.cut(2)
    until(lambda: {reason(nodes, f"i{n}") for n in range(2)}, lambda seen: seen == {"NodeLost"})
    assert nodes.condition("i0")["status"] == "Unknown"
    nodes.fleet.join(2)
    nodes.wait("Ready")

    assert {c["Id"] for c in nodes.node(2).containers()} == ids
    assert nodes.get("i0")["status"]["ports"] == ports
    assert "Rescheduled" not in nodes.events("i0")
    assert nodes.versions()["elsewhere"] == untouched
    nodes.assert_all_answer()


def test_a_deadline_that_passes_during_the_cut_is_kept_by_the_agent(
    nodes: Nodes, echo_image: str
) -> None:
    """Its requests are not refused: nobody answers them."""
    patient(nodes.fleet)
    nodes.apply(instance("long", container(echo_image), nodeName="node-2"))
    nodes.wait("Ready")
    # The last one before the cut, which has to come before its end.
    nodes.apply(instance("brief", container(echo_image), nodeName="node-2", ttl="15s"))
    nodes.wait("Ready", "brief")
    nodes.fleet.cut(2)
    until(lambda: nodes.node(2).running_containers("brief"), lambda n: n == 0)
    assert nodes.node(2).running_containers("long") == 1
    assert "brief" in nodes.node(2).rows(), "it may have been renewed"
    nodes.fleet.join(2)
    nodes.wait("delete", "brief")
    nodes.wait("Ready", "long")


def test_when_all_nodes_are_cut_off_nothing_is_marked_and_nothing_moves(
    nodes: Nodes, echo_image: str
) -> None:
    nodes.apply(*(instance(f"i{n}", container(echo_image)) for n in range(3)))
    nodes.wait("Ready")
    before, placed = nodes.versions(), nodes.placed()
    nodes.fleet.cut(1, 2, 3)
    until(lambda: said(nodes), lambda seen: seen == {("Unknown", "AllNodesLost")})
    nodes.fleet.join(1, 2, 3)
    until(lambda: said(nodes), lambda seen: seen == {("True", "Ready")})
    assert (nodes.versions(), nodes.placed()) == (before, placed)
    nodes.assert_all_answer()


def test_a_manager_that_thaws_after_another_one_took_over_places_nothing_twice(
    nodes: Nodes, echo_image: str
) -> None:
    names = [f"i{number:02}" for number in range(24)]
    second = nodes.fleet.start_manager("manager-2")
    second.wait_until_serving()
    nodes.apply(*(instance(name, container(echo_image)) for name in names[:12]))
    nodes.fleet.manager.freeze()
    nodes.apply(*(instance(name, container(echo_image)) for name in names[12:]))
    until(nodes.placed, lambda placed: len(placed) == 24)
    nodes.fleet.manager.thaw()
    nodes.wait("Ready", timeout=180)
    nodes.assert_told_once("Ready", *names)
    assert sum(len(nodes.node(number).containers()) for number in (1, 2, 3)) == len(names)
    nodes.assert_all_answer(*names)
