"""Uninstalling several nodes, one of which is down: it is named, and the next run goes on."""

import json

import pytest

from hack.bed.cluster import NAMESPACE
from tests.faults import hook
from tests.integration.world import container, instance
from tests.nodes.nodes import Nodes

NAMES = ("node-1", "node-2", "node-3")


def left(nodes: Nodes, kind: str, *where: str) -> list[str]:
    """The names of all objects of a kind."""
    out = nodes.kubectl("get", kind, *where, "-o", "json").stdout
    return sorted(item["metadata"]["name"] for item in json.loads(out)["items"])


@pytest.mark.slow
def test_a_node_whose_agent_is_down_is_named_and_the_next_run_goes_on(
    nodes: Nodes, echo_image: str
) -> None:
    nodes.apply(*(instance(f"on-{n}", container(echo_image), nodeName=n) for n in NAMES))
    nodes.wait("Ready")
    settings = {"INSTALLATION": nodes.bed.state.name, "CONTROLLER_NAMESPACE": NAMESPACE}
    nodes.fleet.agent(2).stop()

    done = hook.uninstall(nodes.bed.kubeconfig, "60s", **settings)

    assert done.returncode == 1
    assert f"1 instances on node-2 are still there after 60 s: {nodes.namespace}/on-node-2" in (
        done.stderr
    )
    assert "See that its engine and its agent run, and run this again" in done.stderr
    assert "node-1" not in done.stderr
    assert left(nodes, "chinst", "-n", nodes.namespace) == ["on-node-2"]
    assert left(nodes, "chnode") == list(NAMES), "the others serve on until all can go"
    assert len(nodes.node(2).containers()) == 1

    nodes.fleet.start_agent(2)
    done = hook.uninstall(nodes.bed.kubeconfig, **settings)

    assert done.returncode == 0
    assert left(nodes, "chinst", "-A") == left(nodes, "chnode") == []
    assert left(nodes, "lease", "-n", NAMESPACE) == ["challenge-manager"]
    for number in (1, 2, 3):
        node = nodes.node(number)
        assert (node.containers(), node.networks(), node.volumes()) == ([], [], [])
        assert not node.state_dir.exists()
        nodes.fleet.agent(number).stop()  # they are idle, and start anew for the next test
