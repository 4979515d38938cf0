"""The bed of several nodes keeps its word: they work together, and can be broken and healed."""

import json

import pytest

from hack.bed import instances
from hack.bed.engine import docker_client
from hack.bed.errors import BedError
from hack.bed.fleet import Fleet
from tests.integration.world import container, instance, until
from tests.nodes.nodes import Nodes


def test_twelve_instances_spread_evenly_answer_and_leave_nothing(
    nodes: Nodes, echo_image: str
) -> None:
    names = [f"even-{number}" for number in range(12)]
    nodes.apply_at_once(*(instance(name, container(echo_image)) for name in names))
    nodes.wait("Ready", timeout=120)

    assert nodes.spread() == [4, 4, 4]
    nodes.assert_all_answer(*names)
    for number in (1, 2, 3):
        here = nodes.node(number)
        assert len(here.containers()) == len(here.rows()) == 4
        # A range of its own, so that a port of one node is not taken for another's.
        ports = {port for row in here.rows().values() for port in dict(row.ports).values()}
        first, _, last = nodes.bed.node(number).ports.partition("-")
        assert ports <= set(range(int(first), int(last) + 1))

    nodes.delete()
    nodes.assert_nothing_left()


def test_cut_node_is_out_of_reach_and_back_when_joined(nodes: Nodes, echo_image: str) -> None:
    nodes.apply(instance("far", container(echo_image), nodeName="node-2"))
    nodes.wait("Ready")
    endpoint = nodes.endpoints()[0]
    nodes.fleet.cut(2)
    with pytest.raises(BedError, match="does not answer"):
        instances.ask(endpoint)
    # It is the link that is down, not the engine.
    assert nodes.node(2).running_containers("far") == 1
    nodes.fleet.join(2)
    until(lambda: _answers(endpoint))


def test_killed_agent_comes_back_with_its_state(nodes: Nodes, echo_image: str) -> None:
    nodes.apply(instance("kept", container(echo_image), nodeName="node-3"))
    nodes.wait("Ready")
    agent = nodes.fleet.agent(3)
    agent.kill()
    assert not agent.alive()
    with pytest.raises(BedError, match="agent-1 runs already"):
        nodes.fleet.start_agent(1)
    agent.start_again()
    agent.wait_until_serving()
    nodes.wait("Ready", "kept")
    assert set(nodes.node(3).rows()) == {"kept"}


def test_frozen_manager_places_nothing_until_it_thaws(nodes: Nodes, echo_image: str) -> None:
    nodes.fleet.manager.freeze()
    nodes.apply(instance("late", container(echo_image)))
    with pytest.raises(BedError, match="timed out"):
        nodes.wait("Ready", "late", timeout=2)
    assert nodes.placed() == {}
    nodes.fleet.manager.thaw()
    nodes.wait("Ready", "late")


def test_healing_brings_back_what_a_test_has_changed(fleet: Fleet) -> None:
    fleet.cut(1)
    fleet.bed.engine(2).kill()
    fleet.agent(3).kill()
    fleet.start_agent(3, {"CHALLENGE_LOG_LEVEL": "debug"})
    second = fleet.start_manager("manager-2")
    fleet.heal()
    assert not second.alive()
    assert set(fleet.controllers) == {"manager", "agent-1", "agent-2", "agent-3"}
    assert "CHALLENGE_LOG_LEVEL" not in fleet.agent(3).env
    with docker_client(fleet.bed.engine(2).url) as client:
        assert client.ping()
    listed = json.loads(fleet.bed.kubectl("get", "chnode", "-o", "json").stdout)["items"]
    assert [node["metadata"]["name"] for node in listed] == ["node-1", "node-2", "node-3"]


def _answers(endpoint: instances.Endpoint) -> bool:
    try:
        return bool(instances.ask(endpoint))
    except BedError:
        return False
