"""The bed's node is a real one: what is scheduled there runs, and finds the API server."""

import json
import uuid
from collections.abc import Iterator

import pytest
import yaml

from hack.bed import pods
from hack.bed.bed import Bed
from hack.bed.cache import temporary_folder
from hack.bed.kubeconfig import Kubectl
from hack.bed.leftovers import processes_of_folder
from hack.bed.report import Report
from tests.helm.conftest import POD_IMAGE, REGISTRY
from tests.helm.release import LONGER, PATIENCE
from tests.helm.remains import assert_nothing_of, places_of_the_machine
from tests.integration.world import until

Object = dict[str, object]


@pytest.fixture(scope="module")
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """A namespace with a DaemonSet on the node's own network and a Deployment on the pods'."""
    name = f"pods-{uuid.uuid4().hex[:6]}"
    kubectl("create", "namespace", name)
    objects = [
        workload("DaemonSet", "on-each", hostNetwork=True),
        workload("Deployment", "somewhere"),
    ]
    kubectl("apply", "-n", name, "-f", "-", input=yaml.safe_dump_all(objects))
    yield name
    kubectl("delete", "namespace", name, PATIENCE, timeout=LONGER)
    assert kubectl("get", "namespace", name, "--ignore-not-found", "-o", "name").stdout == ""


def workload(kind: str, name: str, **pod: object) -> Object:
    """A workload of one pod of the test image; those on the node's network have ports there."""
    marks = {"app": name}
    # Ports that no instance of ours is given.
    arguments = ["serve", "--http=:9080", "--tcp=:9081", "--udp=:9081"]
    container = {"name": "echo", "image": POD_IMAGE, "args": arguments}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1} | pod
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": marks},
            "template": {"metadata": {"labels": marks}, "spec": spec},
        },
    }


@pytest.mark.parametrize("name", ["daemonset/on-each", "deployment/somewhere"])
def test_pods_run_log_and_reach_the_api_server(kubectl: Kubectl, namespace: str, name: str) -> None:
    kubectl("rollout", "status", name, "-n", namespace, PATIENCE, timeout=LONGER)
    # It has no probe: it counts as ready before it has written anything.
    until(lambda: "echo: uid=" in kubectl("logs", name, "-n", namespace).stdout)
    check = ("/echo", "check", "10.96.0.1:443")
    kubectl("exec", name, "-n", namespace, "--", *check)
    nowhere = ("/echo", "check", "127.0.0.1:1")
    assert kubectl("exec", name, "-n", namespace, "--", *nowhere, check=False).returncode == 1


def test_pods_have_accounts_and_go_with_what_made_them(kubectl: Kubectl, namespace: str) -> None:
    words: tuple[str, ...] = ("rollout", "status", "deployment/somewhere", "-n", namespace)
    kubectl(*words, PATIENCE, timeout=LONGER)
    listed = kubectl("get", "pods", "-n", namespace, "-l", "app=somewhere", "-o", "json").stdout
    (pod,) = json.loads(listed)["items"]
    assert pod["spec"]["serviceAccountName"] == "default"
    assert pod["status"]["podIP"].startswith("10.244.1.")
    kubectl("delete", "deployment", "somewhere", "-n", namespace, "--cascade=foreground")
    words = ("wait", "--for=delete", f"pod/{pod['metadata']['name']}", PATIENCE)
    kubectl(*words, "-n", namespace, timeout=LONGER)


def test_nothing_is_left_of_pods_whose_kubelet_and_runtime_were_killed() -> None:
    """The next bed finds what a killed run has left, and ends it all."""
    before = places_of_the_machine()
    name = f"orphans-{uuid.uuid4().hex[:6]}"
    folder, report = temporary_folder() / name, Report(quiet=True)
    bed = Bed.create(name, folder, report, temporary=True, own_engines=True)
    with bed.removed_on_failure():
        pods.start_cluster(bed)
        bed.start_engine()
        pods.start_kubelet(bed).import_echo(f"{REGISTRY}/{POD_IMAGE}", report)
        objects = [
            workload("DaemonSet", "on-each", hostNetwork=True),
            workload("Deployment", "one"),
        ]
        bed.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(objects))
        for each in ("daemonset/on-each", "deployment/one"):
            bed.kubectl("rollout", "status", each, PATIENCE, timeout=LONGER)
        state = pods.kubelet(bed).state
        for process in (state.kubelet, state.containerd):
            assert process is not None
            process.kill()
    assert len([each for each in processes_of_folder(folder) if "shim" in each.name]) == 2
    loaded = Bed.load(folder, report)
    assert loaded is not None
    loaded.down()
    assert_nothing_of(loaded)
    assert places_of_the_machine() == before
