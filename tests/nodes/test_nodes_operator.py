"""What an operator does to nodes, by `kubectl challenge` and by hand, and what comes of it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.bed import accounts
from hack.bed.cluster import NAMESPACE
from hack.bed.instances import ask
from tests.integration.plugin import Plugin
from tests.integration.test_pools import challenge
from tests.integration.world import Object, container, instance, until
from tests.nodes.nodes import Nodes
from tests.nodes.test_nodes_partition import patient, reason

NODES = ("node-1", "node-2", "node-3")


@pytest.fixture
def plugin(nodes: Nodes, tmp_path: Path) -> Iterator[Plugin]:
    """`kubectl challenge` as the administrator; at the end no node is cordoned."""
    plugin = Plugin(nodes.bed.kubeconfig, tmp_path / "cache")
    yield plugin
    nodes.fleet.heal()
    assert plugin("uncordon", *NODES).returncode == 0


def said(plugin: Plugin, *words: str) -> str:
    """What a command prints that succeeds."""
    done = plugin(*words, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def node(nodes: Nodes, name: str) -> Object:
    """A ChallengeNode; empty when there is none."""
    out = nodes.kubectl("get", "chnode", name, "-o", "json", "--ignore-not-found").stdout
    found: Object = json.loads(out) if out else {}
    return found


def ids(nodes: Nodes, number: int) -> set[str]:
    """The containers of a node."""
    return {each["Id"] for each in nodes.node(number).containers()}


def test_cordoned_nodes_keep_what_they_have_and_get_nothing_new(
    nodes: Nodes, plugin: Plugin, echo_image: str
) -> None:
    def three(word: str) -> list[str]:
        names = [f"{word}-{n}" for n in range(3)]
        nodes.apply(*(instance(name, container(echo_image)) for name in names))
        return names

    nodes.apply(*(instance(f"on-{n}", container(echo_image), nodeName=n) for n in NODES))
    nodes.wait("Ready")
    before = [ids(nodes, number) for number in (1, 2, 3)]

    printed = said(plugin, "cordon", "node-1", "node-2")
    assert [line.split()[-1] for line in printed.splitlines()] == ["cordoned", "cordoned"]
    nodes.wait("Ready", *three("new"))
    assert nodes.spread() == [1, 1, 4]
    said(plugin, "cordon", "node-3")
    late = three("late")
    message = nodes.wait_reason("late-0", "Unschedulable")["message"]
    assert message == "0/3 nodes are available: 3 cordoned"
    assert said(plugin, "nodes").count("Cordoned") == 3

    said(plugin, "uncordon", *NODES)
    nodes.wait("Ready", *late, *three("last"))
    # Where the shortest queue of launches is, so that how many each gets depends on their speed.
    assert min(nodes.spread()[:2]) > 1
    assert all(known <= ids(nodes, number) for number, known in enumerate(before, start=1))
    nodes.assert_all_answer()


def test_a_node_deleted_while_its_agent_lives_comes_back_cordoned_and_loses_nothing(
    nodes: Nodes, plugin: Plugin, echo_image: str
) -> None:
    nodes.apply(*(instance(f"old-{n}", container(echo_image)) for n in range(6)))
    nodes.wait("Ready")
    there, placed, versions = ids(nodes, 2), nodes.placed(), nodes.versions()
    assert there
    uid = node(nodes, "node-2")["metadata"]["uid"]

    nodes.kubectl("delete", "chnode", "node-2")
    back = until(lambda: node(nodes, "node-2"), lambda seen: bool(seen.get("status")))
    assert back["metadata"]["uid"] != uid
    assert back["spec"] == {"unschedulable": True}
    until(lambda: nodes.node(2).node_condition("Ready").get("status"), lambda s: s == "True")
    nodes.apply(*(instance(f"new-{n}", container(echo_image)) for n in range(4)))
    nodes.wait("Ready")
    assert ids(nodes, 2) == there
    assert nodes.spread()[1] == len(there)
    assert nodes.placed().items() >= placed.items()
    assert nodes.versions().items() >= versions.items(), "nobody has written to them"

    said(plugin, "uncordon", "node-2")
    nodes.apply(instance("last", container(echo_image), nodeName="node-2"))
    nodes.wait("Ready", "last")
    nodes.assert_all_answer()


def test_what_was_on_a_node_that_is_forgotten_moves_and_what_was_ending_is_gone(
    nodes: Nodes, plugin: Plugin, echo_image: str
) -> None:
    patient(nodes.fleet)
    names = ["alice", "bob", "waits"]
    said(plugin, "cordon", "node-1", "node-2")
    nodes.apply(
        challenge(echo_image, nodeLossPolicy="Wait"),
        instance("waits", challengeRef={"name": "echo"}),
        *(instance(name, container(echo_image)) for name in ("alice", "bob", "ending")),
    )
    nodes.wait("Ready")
    said(plugin, "uncordon", "node-1", "node-2")
    assert nodes.spread() == [0, 0, 4]

    refused = plugin("forget-node", "node-3", "--yes")
    assert refused.returncode != 0
    assert "The agent of node-3 seems to live" in refused.stderr
    # The host is gone: agent, engine's address and all.
    nodes.fleet.agent(3).kill()
    nodes.fleet.cut(3)
    nodes.kubectl("delete", "chinst", "ending", "-n", nodes.namespace, "--wait=false")
    until(lambda: {reason(nodes, name) for name in names}, lambda seen: seen == {"NodeLost"})
    assert nodes.spread() == [0, 0, 4], "who is patient waits"

    assert "node-3 forgotten" in said(plugin, "forget-node", "node-3", "--yes")
    assert node(nodes, "node-3") == {}
    nodes.wait("delete", "ending")
    until(nodes.placed, lambda placed: len(placed) == 3 and "node-3" not in placed.values())
    nodes.wait("Ready")
    nodes.assert_told_once("Rescheduled", *names)
    nodes.assert_all_answer(*names)
    placed = nodes.placed()

    # It is not gone, after all: the copies it still has are nobody's.
    assert ids(nodes, 3)
    nodes.fleet.heal()
    until(lambda: ids(nodes, 3), lambda left: left == set())
    until(lambda: nodes.node(3).ports_held(), lambda held: held == 0)
    assert nodes.placed() == placed
    nodes.assert_all_answer(*names)


@pytest.mark.slow
def test_a_forgotten_host_that_is_back_gives_up_who_has_moved_and_holds_who_has_vanished(
    nodes: Nodes, plugin: Plugin, echo_image: str
) -> None:
    """What was deleted while it was away is to its agent as what a restored backup lacks."""
    moved, ended = [f"moved-{n}" for n in range(6)], [f"ended-{n}" for n in range(7)]
    patient(nodes.fleet)
    said(plugin, "cordon", "node-1", "node-2")
    nodes.apply(*(instance(name, container(echo_image)) for name in (*moved, *ended)))
    nodes.wait("Ready", timeout=180)
    said(plugin, "uncordon", "node-1", "node-2")
    doors = [each for each in nodes.endpoints() if each.instance in ended]
    nodes.fleet.agent(3).kill()
    nodes.fleet.cut(3)
    nodes.kubectl("delete", "chinst", *ended[:5], "-n", nodes.namespace, "--wait=false")
    forget = ("forget-node", "node-3", "--yes")
    until(lambda: plugin(*forget).returncode, lambda code: code == 0)
    nodes.wait("delete", *ended[:5])
    nodes.delete(*ended[5:])
    until(nodes.placed, lambda placed: len(placed) == 6 and "node-3" not in placed.values())
    nodes.wait("Ready", timeout=180)
    placed, there = nodes.placed(), ids(nodes, 3)
    assert len(there) == 13

    nodes.fleet.heal()
    back = nodes.node(3)
    condition = until(
        lambda: back.node_condition("OrphansHeld"), lambda seen: seen.get("status") == "True"
    )
    assert "7 instances that run here have vanished" in condition["message"]
    assert "confirm-orphans node-3" in condition["message"]
    until(lambda: set(back.rows()), lambda names: names == set(ended))
    until(lambda: len(ids(nodes, 3)), lambda number: number == 7)
    for door in doors:
        ask(door)
    assert node(nodes, "node-3")["spec"] == {"unschedulable": True}, "it gets nothing new"

    assert "7 instances" in said(plugin, "confirm-orphans", "node-3", "--yes")
    until(lambda: ids(nodes, 3), lambda left: left == set())
    until(back.ports_held, lambda held: held == 0)
    until(lambda: back.node_condition("OrphansHeld")["status"], lambda status: status == "False")
    assert nodes.placed() == placed
    nodes.assert_all_answer(*moved)


@pytest.fixture
def elsewhere(nodes: Nodes, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings of an agent for node 3 under another name, with rights of that name's own.

    Node 3 has its own name again at the end, and none knows of the other.
    """
    plane, name = nodes.bed.control_plane, "renamed"
    kubeconfig = accounts.agent_kubeconfig(plane, nodes.kubectl, f"agent-{name}", name)
    yield {"CHALLENGE_NODE_NAME": name, "CHALLENGE_KUBECONFIG": str(kubeconfig)}
    nodes.delete()
    nodes.fleet.agent(3).stop()
    if node(nodes, name):
        move_ledger_away(nodes, tmp_path / "after")
    nodes.kubectl("delete", "chnode", name, "--ignore-not-found")
    nodes.kubectl("delete", "lease", f"node-{name}", "-n", NAMESPACE, "--ignore-not-found")


def move_ledger_away(nodes: Nodes, folder: Path) -> None:
    """Do as an agent says that finds a ledger which is not its own."""
    folder.mkdir()
    for path in nodes.fleet.agent(3).state_dir.glob("ledger.db*"):
        path.rename(folder / path.name)


@pytest.mark.slow
def test_a_renamed_node_is_refused_until_what_it_says_is_done(
    nodes: Nodes, plugin: Plugin, elsewhere: dict[str, str], echo_image: str, tmp_path: Path
) -> None:
    nodes.apply(*(instance(f"i{n}", container(echo_image)) for n in range(6)))
    nodes.wait("Ready")
    there, agent = ids(nodes, 3), nodes.fleet.agent(3)
    agent.stop()
    begun = len(agent.logs())
    agent.start_again({**agent.env, **elsewhere})
    assert agent.wait(90), "it serves"
    told = agent.logs()[begun:]
    for words in (
        "was made for node 'node-3', but this is 'renamed'",
        "kubectl challenge drain node-3 --force",
        "kubectl challenge forget-node node-3",
        "move the ledger's file away",
    ):
        assert words in told
    assert node(nodes, "renamed") == {}
    assert ids(nodes, 3) == there

    nodes.fleet.heal()
    assert "node-3 is drained" in said(plugin, "drain", "node-3", "--force", "--timeout", "90s")
    until(lambda: ids(nodes, 3), lambda left: left == set())
    nodes.fleet.agent(3).stop()
    forget = ("forget-node", "node-3", "--yes")
    until(lambda: plugin(*forget).returncode, lambda code: code == 0)
    move_ledger_away(nodes, tmp_path / "before")
    nodes.fleet.start_agent(3, elsewhere)
    until(lambda: node(nodes, "renamed").get("status"))

    nodes.apply(instance("there", container(echo_image), nodeName="renamed"))
    nodes.wait("Ready", timeout=120)
    assert len(ids(nodes, 3)) == 1
    assert {each.host for each in nodes.endpoints() if each.instance == "there"} == {
        nodes.bed.node(3).address
    }
    for name in nodes.placed():
        assert nodes.answers(name)
