"""Draining a node of three: pools first have a successor, players' instances move on demand."""

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.integration.test_pools import challenge, never_fewer, pool
from tests.integration.world import container, instance, until
from tests.nodes.nodes import Nodes

NODE = "node-1"
PLAYERS = ("alice", "bob", "carol", "dave", "erin", "frank")


@pytest.fixture
def drained(nodes: Nodes, echo_image: str) -> Iterator[Nodes]:
    """A pool over the nodes, then players' instances; each node has some of both."""
    nodes.apply(challenge(echo_image), pool())
    nodes.kubectl(
        *("wait", "chpool/web", "--for=condition=Ready", "-n", nodes.namespace, "--timeout=90s"),
        timeout=120,
    )
    nodes.apply(
        *(instance(name, container(echo_image), user=name) for name in PLAYERS),
        instance("pinned", container(echo_image), nodeName=NODE),
    )
    nodes.wait("Ready")
    assert "web" in here(nodes)
    assert here(nodes) & set(PLAYERS)
    yield nodes
    spec(nodes, {"unschedulable": None, "drain": None})
    nodes.kubectl("delete", "chpool", "--all", "-n", nodes.namespace)


def spec(nodes: Nodes, change: dict[str, object]) -> None:
    """What `kubectl challenge drain` and `uncordon` write."""
    text = json.dumps({"spec": change})
    nodes.kubectl("patch", "chnode", NODE, "--type=merge", "-p", text)


def here(nodes: Nodes) -> set[str]:
    """Whose instances the node has: `web` for the pool's."""
    return {name.partition("-")[0] for name, node in nodes.placed().items() if node == NODE}


def test_managed_ones_leave_once_replaced_and_players_stay(drained: Nodes) -> None:
    before = {name: node for name, node in drained.placed().items() if "web-" not in name}
    with never_fewer(drained, {"1": 2, "2": 2}):
        spec(drained, {"unschedulable": True, "drain": "Managed"})
        until(lambda: here(drained), lambda seen: "web" not in seen)
    after = {name: node for name, node in drained.placed().items() if "web-" not in name}
    assert after == before
    drained.wait("Ready", *after)


def test_all_leave_but_who_is_pinned_also_when_the_manager_dies_meanwhile(
    drained: Nodes,
) -> None:
    spec(drained, {"unschedulable": True, "drain": "All"})
    drained.fleet.manager.kill()
    drained.fleet.manager.start_again()
    until(lambda: here(drained), lambda seen: seen == {"pinned"}, timeout=90)
    drained.wait("Ready")
    drained.assert_all_answer()
    # name-seed-ordinal-revision: two of each seed.
    seeds = Counter(name.split("-")[1] for name in drained.placed() if name.startswith("web-"))
    assert sorted(seeds.values()) == [2, 2]
