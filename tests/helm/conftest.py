"""A Kubernetes of one node that runs pods, and a release of the chart in it.

One bed serves the whole run. It is removed at the end, also when tests fail or the run is
interrupted, and nothing of it may stay on the machine. The release is that of the whole run too,
until the last file's tests uninstall it.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hack.bed import pods
from hack.bed.bed import Bed
from hack.bed.errors import BedError
from hack.bed.helm import Helm
from hack.bed.kubeconfig import Kubectl
from hack.bed.programs import find_helm
from hack.bed.temporary import temporary_bed
from hack.image.__main__ import main as build_image
from tests.helm.charts import SOCKETS, previous_chart, values
from tests.helm.players import Players
from tests.helm.release import Release
from tests.helm.remains import assert_nothing_of, settings_of_the_machine
from tests.integration.world import container, instance

POD_IMAGE = "challenge-echo:dev"
PLAYERS = "players"
FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """A cluster with one node: an engine with the test image, and a kubelet that has it too."""
    before = settings_of_the_machine()
    with temporary_bed("helm", own_engines=True) as bed:
        pods.start_cluster(bed)
        start_engine(bed)
        pods.start_kubelet(bed).import_echo(f"docker.io/library/{POD_IMAGE}", bed.report)
        bed.import_image()
        yield bed
    assert_nothing_of(bed)
    assert settings_of_the_machine() == before


def start_engine(bed: Bed) -> None:
    """Start the node's engine, with a second socket in a folder that can be given to a pod."""
    folder = bed.state.folder / "node-1"
    (folder / SOCKETS).mkdir(parents=True, mode=0o700)
    hosts = [f"unix://{folder}/docker.sock", f"unix://{folder}/{SOCKETS}/docker.sock"]
    bed.start_engine(daemon={"hosts": hosts})


@pytest.fixture(scope="session")
def kubectl(bed: Bed) -> Kubectl:
    """`kubectl(*args, input=None, check=True)` as the administrator of the bed."""
    return bed.kubectl


@pytest.fixture(scope="session")
def helm(bed: Bed) -> Helm:
    """`helm(*args, input=None, check=True)` as the administrator of the bed."""
    return Helm(find_helm(bed.report), bed.kubeconfig, bed.state.folder / "helm")


@pytest.fixture(scope="session")
def image(bed: Bed) -> None:
    """The project's image, built and put where the node's pods find it."""
    archive = bed.state.folder / "image.tar"
    with bed.report.stage("build the image"):
        assert build_image(["--output", str(archive)]) == 0
    with bed.report.stage("import the image"):
        pods.kubelet(bed).import_archive(archive)
    archive.unlink()


@pytest.fixture(scope="session")
def previous(bed: Bed) -> Path:
    """The chart before today's."""
    return previous_chart(bed.state.folder)


@pytest.fixture(scope="session")
def release(bed: Bed, helm: Helm, image: None, previous: Path) -> Release:
    """A release of the previous chart, which serves the namespace `players`."""
    bed.kubectl("create", "namespace", PLAYERS)
    served = {"instances": {"namespaces": [PLAYERS]}}
    release = Release(bed, helm, "challenges", "challenge-system", values(bed) | served)
    with bed.report.stage("install the chart"), told_on_failure(release):
        release.install(previous, "--set", "crds.keep=false")
    return release


@pytest.fixture(scope="session")
def running_players(release: Release) -> Players:
    """Two instances that were up before anything was done to the release."""
    players = Players(release.bed, release.bed.kubectl, PLAYERS)
    players.apply(*(instance(name, container(POD_IMAGE)) for name in ("ada", "bob")))
    players.wait("Ready")
    return players


@pytest.fixture
def players(
    request: pytest.FixtureRequest, release: Release, running_players: Players
) -> Iterator[Players]:
    """Them; what the release's pods said is shown with a test that fails."""
    yield running_players
    if request.node.stash.get(FAILED, False):
        release.tell()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note which tests fail: it takes a second to ask for all logs."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@contextmanager
def told_on_failure(release: Release) -> Iterator[None]:
    """Tell what became of a release's pods when what is done inside fails."""
    try:
        yield
    except BedError:
        release.tell()
        raise
