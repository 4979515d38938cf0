"""`challenge-controller uninstall`: nothing of an installation is left, nor touched of another."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.bed.bed import Bed
from hack.bed.cluster import NAMESPACE
from hack.bed.kubeconfig import Kubectl
from tests.faults import hook
from tests.faults.test_faults_two_installations import OTHER, Installation
from tests.faults.test_faults_uninstall import fill
from tests.faults.worlds import QUICK, Start
from tests.integration.world import container, instance, until

pytestmark = pytest.mark.usefixtures("own_engine")

SPARE = {"PREPARED_NETWORKS": "1", "NODE_LEASE_DURATION": "10"}


@pytest.fixture
def both(
    bed: Bed, kubectl: Kubectl, namespace: str, controller: Start, echo_image: str
) -> Iterator[tuple[Installation, Installation]]:
    """The installation that is to go, with a bit of everything, and a neighbour with a pair."""
    elsewhere = f"{namespace}-b"
    kubectl("create", "namespace", elsewhere)
    kubectl("create", "namespace", f"{elsewhere}-system")
    first = controller(**(QUICK | SPARE), NAMESPACES=namespace)
    second = controller(
        **(QUICK | SPARE),
        INSTALLATION=OTHER,
        NODE_NAME=f"node-1.{OTHER}",
        NAMESPACES=elsewhere,
        CONTROLLER_NAMESPACE=f"{elsewhere}-system",
    )
    ours = Installation(bed, kubectl, namespace, first, bed.state.name, "node-1")
    theirs = Installation(bed, kubectl, elsewhere, second, OTHER, f"node-1.{OTHER}")
    try:
        fill(ours, echo_image)
        ours.apply(instance("kept", container(echo_image), ttl="1s", onExpiry="Retain"))
        ours.wait("Expired", "kept")
        theirs.fill(echo_image)
        # A pair has a network each, and one is made ahead: that comes after they are Ready.
        until(theirs.things, lambda found: sum("-own-" in name for name in found) == 3)
        yield ours, theirs
    finally:
        for each in (ours, theirs):
            each.tell()
    theirs.delete()
    for running in (first, second):
        assert "Traceback" not in running.logs()
        running.stop()
    theirs.remove_networks()
    kubectl("delete", "chnode", "--all")


def assert_gone(ours: Installation) -> None:
    """Nothing is left of it in the cluster, but for its manager's Lease, or on the host."""
    objects = ("chpool,chinst", "-n", ours.namespace, "-o", "name")
    assert ours.kubectl("get", *objects).stdout == ""
    assert ours.kubectl("get", "chnode", ours.node, "--ignore-not-found").stdout == ""
    leases = ours.kubectl("get", "lease", "-n", NAMESPACE, "-o", "name").stdout.split()
    assert f"lease.coordination.k8s.io/node-{ours.node}" not in leases
    assert ours.things() == {}
    assert ours.chains() == []
    assert not ours.state_dir.exists()


@pytest.mark.slow
def test_nothing_is_left_of_one_and_all_of_the_other_which_may_be_said_twice(
    both: tuple[Installation, Installation], tmp_path: Path
) -> None:
    ours, theirs = both
    kubeconfig = hook.kubeconfig(ours.bed, ours.namespace, NAMESPACE, tmp_path)
    settings = {
        "INSTALLATION": ours.name,
        "NAMESPACES": ours.namespace,
        "CONTROLLER_NAMESPACE": NAMESPACE,
    }
    assert ours.chains()
    until(ours.networks)
    before = [theirs.things(), theirs.chains(), theirs.versions()]
    done = hook.uninstall(kubeconfig, **settings)
    assert done.returncode == 0
    assert f"Installation {ours.name} is uninstalled" in done.stdout
    assert_gone(ours)
    # The agent runs on, and makes nothing anew.
    assert not ours.controller.wait(6)
    assert_gone(ours)
    assert hook.uninstall(kubeconfig, **settings).returncode == 0
    assert [theirs.things(), theirs.chains(), theirs.versions()] == before
    assert theirs.ready() == ("True", "Ready")
    for name in ("alone", "pair", "more"):
        theirs.answers(name)
    # Whoever changes his mind starts it again.
    ours.controller.stop()
    ours.controller.start_again()
    until(lambda: ours.controller.logs().count("Start-up: ") == 2)
    until(lambda: ours.node_condition("Ready").get("status"), lambda seen: seen == "True")


@pytest.mark.slow
def test_an_engine_that_is_away_is_waited_for_and_named(
    both: tuple[Installation, Installation], bed: Bed, tmp_path: Path
) -> None:
    """Also when it was the agent's part already: it goes on, and the next run finds it done."""
    ours, _ = both
    for kind in ("chpool", "chinst"):
        ours.kubectl("delete", kind, "--all", "-n", ours.namespace, "--timeout=60s")
    kubeconfig = hook.kubeconfig(ours.bed, ours.namespace, NAMESPACE, tmp_path)
    settings = {
        "INSTALLATION": ours.name,
        "NAMESPACES": ours.namespace,
        "CONTROLLER_NAMESPACE": NAMESPACE,
    }
    bed.engine().freeze()
    try:
        done = hook.uninstall(kubeconfig, "20s", **settings)
    finally:
        bed.engine().thaw()
    assert done.returncode == 1
    assert f"Node {ours.node} has not said within 20 s that nothing is left on it" in done.stderr
    assert f"kubectl challenge forget-node {ours.node}" in done.stderr
    assert hook.uninstall(kubeconfig, **settings).returncode == 0
    assert_gone(ours)
