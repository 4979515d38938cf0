"""A Kubernetes of one node that runs pods, for the tests of the chart, the image and upgrades.

One bed serves the whole run. It is removed at the end, also when tests fail or the run is
interrupted, and nothing of it may stay on the machine.
"""

from collections.abc import Iterator

import pytest

from hack.bed import pods
from hack.bed.bed import Bed
from hack.bed.helm import Helm
from hack.bed.kubeconfig import Kubectl
from hack.bed.programs import find_helm
from hack.bed.temporary import temporary_bed
from tests.helm.remains import assert_nothing_of, settings_of_the_machine

POD_IMAGE = "challenge-echo:dev"


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """A cluster with one node: an engine with the test image, and a kubelet that has it too."""
    before = settings_of_the_machine()
    with temporary_bed("helm", own_engines=True) as bed:
        pods.start_cluster(bed)
        bed.start_engine()
        pods.start_kubelet(bed).import_echo(f"docker.io/library/{POD_IMAGE}", bed.report)
        bed.import_image()
        yield bed
    assert_nothing_of(bed)
    assert settings_of_the_machine() == before


@pytest.fixture(scope="session")
def kubectl(bed: Bed) -> Kubectl:
    """`kubectl(*args, input=None, check=True)` as the administrator of the bed."""
    return bed.kubectl


@pytest.fixture(scope="session")
def helm(bed: Bed) -> Helm:
    """`helm(*args, input=None, check=True)` as the administrator of the bed."""
    return Helm(find_helm(bed.report), bed.kubeconfig, bed.state.folder / "helm")
