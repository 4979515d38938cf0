"""A second release beside the first, on the same node and engine: neither touches the other."""

import json

import pytest

from hack.bed.bed import Bed
from hack.bed.helm import Helm
from hack.bed.kubeconfig import Kubectl
from tests.helm import node
from tests.helm.charts import CHART, values
from tests.helm.conftest import POD_IMAGE, told_on_failure
from tests.helm.players import Players
from tests.helm.release import LONGER, PATIENCE, Release
from tests.integration.world import container, instance

EXAM = "exam"


@pytest.fixture(scope="module")
def exam(bed: Bed, helm: Helm, running_players: Players) -> Release:
    """The second release: another installation, in a namespace of its own, which it serves."""
    release = Release(bed, helm, EXAM, "exam-system", values(bed, EXAM, metrics_port=9420))
    # The definitions, and what Kubernetes' own roles get of our kinds, are the first one's.
    shared = ("--set", "crds.enabled=false", "--set", "rbac.aggregate=false")
    with told_on_failure(release), running_players.untouched():
        release.install(CHART, *shared)
    return release


@pytest.fixture(scope="module")
def candidates(exam: Release) -> Players:
    """An instance of the second release."""
    candidates = Players(exam.bed, exam.bed.kubectl, exam.namespace)
    candidates.apply(instance("eve", container(POD_IMAGE)))
    candidates.wait("Ready")
    return candidates


def test_each_release_has_its_own_node_and_serves_its_own_instances(
    bed: Bed, kubectl: Kubectl, players: Players, candidates: Players
) -> None:
    name = bed.node().name
    nodes = [name, f"{name}.{EXAM}"]
    kubectl("wait", "chnode", *nodes, "--for=condition=Ready", "--timeout=90s")
    assert {players.get(each)["status"]["nodeName"] for each in players.names()} == {nodes[0]}
    assert candidates.get("eve")["status"]["nodeName"] == nodes[1]
    for name in players.names():
        players.answers(name)
    candidates.answers("eve")
    ports = [{endpoint.port for endpoint in each.endpoints()} for each in (players, candidates)]
    assert not ports[0] & ports[1]


def test_release_that_is_uninstalled_leaves_the_other_one_serving(
    bed: Bed, kubectl: Kubectl, exam: Release, release: Release, players: Players,
    candidates: Players,
) -> None:  # fmt: skip
    assert node.things(bed, EXAM)
    assert node.firewall(bed, EXAM)
    theirs, rules = node.things(bed, release.installation), node.firewall(bed, release.installation)
    agent = release.agent_uid()
    with players.untouched():
        exam.uninstall()
    assert node.things(bed, EXAM) == set()
    assert node.firewall(bed, EXAM) == []
    assert node.things(bed, release.installation) == theirs
    assert node.firewall(bed, release.installation) == rules
    assert release.agent_uid() == agent
    listed = json.loads(kubectl("get", "chnode", "-o", "json").stdout)["items"]
    assert [each["metadata"]["name"] for each in listed] == [bed.node().name]
    assert exam.cluster_objects() == []
    kubectl("delete", "namespace", exam.namespace, PATIENCE, timeout=LONGER)
