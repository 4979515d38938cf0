"""The install without Helm: what it holds is what the chart renders, and an API server takes it."""

from collections.abc import Iterator

import pytest
import yaml

from hack import generated, kustomize
from hack.bed.bed import Bed
from hack.bed.cluster import definition_names
from hack.bed.kubeconfig import Kubectl
from hack.bed.temporary import temporary_bed
from tests.integration.world import container, instance, until

APPLY = ("apply", "--server-side", "-k", kustomize.FOLDER)


@pytest.fixture(scope="module")
def empty() -> Iterator[Bed]:
    """A cluster that knows nothing of us: the policies of the install hold for all of it."""
    with temporary_bed("kustomize") as bed:
        bed.start_control_plane()
        bed.kubectl("delete", "crd", *definition_names(), timeout=180)
        yield bed


@pytest.fixture(scope="module")
def kubectl(empty: Bed) -> Kubectl:
    """The administrator of that cluster."""
    return empty.kubectl


def test_it_is_what_the_chart_renders() -> None:
    assert generated.drift(generated.files() | generated.rendered()) == []


def test_nothing_in_it_tells_of_helm() -> None:
    text = kustomize.INSTALL.read_text()
    assert "helm.sh" not in text
    assert "Helm" not in text


def test_it_is_applied_used_applied_again_and_deleted(kubectl: Kubectl) -> None:
    built = list(yaml.safe_load_all(kubectl("kustomize", kustomize.FOLDER).stdout))
    kinds = [made["kind"] for made in built]
    for kind in ("Namespace", "Deployment", "DaemonSet", "ValidatingAdmissionPolicy"):
        assert kind in kinds
    applied = kubectl(*APPLY).stdout.splitlines()
    assert len(applied) == len(built)

    names = [f"crd/{name}" for name in definition_names()]
    kubectl("wait", "--for=condition=Established", "--timeout=100s", *names)
    where = ("create", "--dry-run=server", "-n", kustomize.NAMESPACE, "-f", "-")
    good, bad = instance("one", container("web:1")), instance("one", container("web:1"), ttl="soon")
    # They are told to kubectl, and served, some moments after they were established.
    until(lambda: kubectl(*where, input=yaml.safe_dump(good), check=False).returncode == 0)
    refused = kubectl(*where, input=yaml.safe_dump(bad), check=False).stderr
    assert "ttl" in refused

    assert kubectl("diff", "--server-side", "-k", kustomize.FOLDER, check=False).stdout == ""
    # A second tool meets no conflict: what the API server has of the definitions is what is in Git.
    kubectl("apply", "--server-side", "--field-manager=flux", "-k", kustomize.ROOT / "crds")

    kubectl("delete", "-k", kustomize.FOLDER, "--wait=false")
    left = "clusterroles,clusterrolebindings,validatingadmissionpolicies,crd"
    found = kubectl("get", left, "-o", "name").stdout
    assert [name for name in found.split() if "/challenge-controller" in name] == []


def test_the_definitions_alone_are_a_base_of_their_own(kubectl: Kubectl) -> None:
    folder = kustomize.ROOT / "crds"
    assert kubectl("apply", "--server-side", "--dry-run=server", "-k", folder).returncode == 0
    built = list(yaml.safe_load_all(kubectl("kustomize", folder).stdout))
    assert {made["metadata"]["name"] for made in built} == set(definition_names())
