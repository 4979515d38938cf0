"""The end of a release whose definitions go with it: nothing of it is left anywhere."""

import json

from hack.bed.bed import Bed
from hack.bed.kubeconfig import Kubectl
from tests.helm import node
from tests.helm.conftest import POD_IMAGE
from tests.helm.players import Players
from tests.helm.release import LONGER, PATIENCE, Release
from tests.integration.world import container, instance, until


def test_uninstall_leaves_nothing_in_the_cluster_or_on_the_node(
    bed: Bed, kubectl: Kubectl, release: Release, players: Players
) -> None:
    # A network of its own, one that cannot start, one that is paused.
    two = (container(POD_IMAGE, "front"), container(POD_IMAGE, "back", ports=[]))
    players.apply(
        instance("pair", *two),
        instance("stuck", container("challenge-echo:no-such-tag")),
        instance("suspended", container(POD_IMAGE), suspended=True),
    )
    players.wait("Ready", "pair")
    assert node.things(bed)
    assert node.firewall(bed)

    release.uninstall()

    assert not release.exists()
    assert node.things(bed) == set()
    assert node.firewall(bed) == []
    assert release.state_files() == []
    assert release.cluster_objects() == []
    kinds = kubectl("get", "crd", "-o", "name").stdout.split()
    assert [kind for kind in kinds if kind.endswith("challenge-controller.io")] == []
    # What has gone with its owner follows it in a moment.
    until(release.namespaced_objects, lambda left: left == [])
    words = ("delete", "namespace", release.namespace, players.namespace, PATIENCE)
    kubectl(*words, timeout=LONGER)
    left = json.loads(kubectl("get", "namespace", "-o", "json").stdout)["items"]
    assert {each["status"]["phase"] for each in left} == {"Active"}
