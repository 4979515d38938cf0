"""Nodes of another installation: not placed on, not judged, not touched; an overlap is told."""

import asyncio
import logging

import pytest

from controller.api import reasons
from controller.api.labels import INSTALLATION
from controller.cluster.client import EVENTS, NODES, Object
from controller.manager.neighbours import Neighbours
from controller.manager.nodes import Nodes
from tests.unit.manager.lossy import LEASE, TIMEOUT, Cluster
from tests.unit.manager.objects import node_body
from tests.unit.reconcile.virtual_time import virtual


def foreign(name: str, whose: str = "exam", serves: tuple[str, ...] | None = None) -> Object:
    """A node of another installation, whose agent has said which namespaces it serves, or not."""
    body = node_body(name, labels={INSTALLATION: whose})
    if serves is not None:
        body["status"] |= {"namespaces": list(serves), "controllerNamespace": f"{whose}-system"}
    return body


def test_only_nodes_of_ones_own_installation_are_known() -> None:
    nodes = Nodes(lambda: None, 2, installation="exam")
    for body in (foreign("a"), foreign("b", "lab"), node_body("c")):
        nodes.observe(body, deleted=False)
    assert list(nodes.by_name) == ["a"]
    assert nodes.others.names == {"b", "c"}


def test_a_node_without_the_label_is_the_default_installations() -> None:
    nodes = Nodes(lambda: None, 2)
    for body in (foreign("a"), foreign("b", "default"), node_body("c")):
        nodes.observe(body, deleted=False)
    assert sorted(nodes.by_name) == ["b", "c"]


def test_a_node_that_changes_hands_is_known_to_the_new_one_alone() -> None:
    changes: list[None] = []
    nodes = Nodes(lambda: changes.append(None), 2)
    nodes.observe(node_body("a"), deleted=False)
    nodes.observe(foreign("a"), deleted=False)
    assert (list(nodes.by_name), nodes.others.names, len(changes)) == ([], {"a"}, 2)
    nodes.observe(node_body("a"), deleted=False)
    assert (list(nodes.by_name), nodes.others.names) == (["a"], set())


def test_a_neighbours_node_that_is_deleted_does_not_become_ours() -> None:
    nodes = Nodes(lambda: None, 2)
    nodes.observe(foreign("a"), deleted=False)
    nodes.observe(foreign("a"), deleted=True)
    assert nodes.others.names == {"a"}


@virtual
async def test_a_neighbours_node_that_falls_silent_or_goes_is_nobodys_loss() -> None:
    cluster = Cluster("ours")
    cluster.put("theirs", "elsewhere")
    cluster.nodes.observe(cluster.api.put(NODES, foreign("elsewhere")), deleted=False)
    await asyncio.sleep(TIMEOUT + 2 * LEASE)
    del cluster.api.objects[NODES.path("elsewhere")]
    cluster.nodes.observe(foreign("elsewhere"), deleted=True)
    await asyncio.sleep(TIMEOUT + 2 * LEASE)
    assert cluster.writes() == cluster.writes(NODES.plural) == 0
    assert cluster.node_of("theirs") == "elsewhere"
    assert cluster.ready("theirs") == ("True", "Testing")
    cluster.cut("ours")
    await asyncio.sleep(2 * LEASE)
    assert cluster.node_ready("ours") == ("Unknown", reasons.NODE_LOST)
    cluster.close()


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (("a", "b"), ("c",), ""),
        (("a", "b"), ("b", "c"), "serves the namespace b, and so does this one"),
        (("a", "b"), ("b", "a"), "serves the namespaces a, b, and"),
        (("a", "b"), (), "serves a, b (one of the two serves all namespaces), and"),
        ((), ("c",), "serves c (one of the two serves all namespaces)"),
        ((), (), "serves all namespaces, and"),
        ((), None, ""),
    ],
)
def test_namespaces_that_two_installations_serve_are_named_once(
    ours: tuple[str, ...],
    theirs: tuple[str, ...] | None,
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    neighbours = Neighbours("default", ours)
    with caplog.at_level(logging.ERROR):
        for name in ("a", "b", "a"):
            neighbours.observe(foreign(name, serves=theirs))
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == bool(said)
    assert all(said in text and "installation exam" in text for text in messages)


@virtual
async def test_who_looks_at_the_other_installations_node_is_told_in_an_event() -> None:
    cluster = Cluster("ours")
    neighbours = Neighbours("ctf", ("a", "b"), cluster.recorder)
    for name in ("n1", "n2", "n1"):
        neighbours.observe(foreign(name, serves=("b",)) | {"kind": "ChallengeNode"})
    neighbours.observe(foreign("n1", serves=("c",)))
    await cluster.recorder.flush()
    (event,) = (b for path, b in cluster.api.objects.items() if f"/{EVENTS.plural}/" in path)
    about = event["involvedObject"]
    assert (about["kind"], about["name"]) == ("ChallengeNode", "n1")
    assert (event["type"], event["reason"]) == ("Warning", reasons.NAMESPACES_SHARED)
    assert "exam serves the namespace b, and so does ctf" in event["message"]
    cluster.close()
