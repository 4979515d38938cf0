"""A real API server and a real Docker engine for the tests, and controllers against them.

One bed serves the whole run. It is removed at the end, also when tests fail or the run is
interrupted; what a run leaves that was killed outright, the next one removes. The conftest of a
folder takes these fixtures over.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest

from hack.bed.bed import Bed
from hack.bed.cluster import PLURALS
from hack.bed.controllers import PROGRAM
from hack.bed.controlplane import ControlPlane
from hack.bed.foreign import remove_from_engine
from hack.bed.kubeconfig import Kubectl
from hack.bed.running import RunningController
from hack.bed.temporary import temporary_bed
from tests.integration.world import World

__all__ = [
    "bare_bed",
    "bed",
    "control_plane",
    "controller",
    "echo_image",
    "kubectl",
    "namespace",
    "own_engine",
    "world",
]


@pytest.fixture(scope="session")
def bare_bed() -> Iterator[Bed]:
    """A bed with a control plane and no engine yet; for the fixtures below."""
    with temporary_bed("test") as bed:
        bed.start_control_plane()
        yield bed


@pytest.fixture(scope="session")
def control_plane(bare_bed: Bed) -> ControlPlane:
    """A running API server that knows our kinds; no Docker engine is started for it."""
    return bare_bed.control_plane


@pytest.fixture(scope="session")
def bed(bare_bed: Bed) -> Bed:
    """The control plane with a Docker engine beside it; no controller runs."""
    bare_bed.start_engine()
    return bare_bed


@pytest.fixture
def own_engine(bed: Bed) -> None:
    """What is on a machine that is not the bed's is not the tests' to change or to take away."""
    if bed.node().engine.namespace is None:
        pytest.skip("needs an engine of the bed's own")


@pytest.fixture(scope="session")
def echo_image(bed: Bed) -> str:
    """The name of the test image, which is on the bed's engine."""
    return bed.import_image()


@pytest.fixture(scope="session")
def kubectl(bare_bed: Bed) -> Kubectl:
    """`kubectl(*args, input=None, check=True)` as the administrator of the bed."""
    return bare_bed.kubectl


@pytest.fixture
def namespace(bare_bed: Bed, kubectl: Kubectl) -> Iterator[str]:
    """A namespace of the test's own; see `new_namespace`."""
    with new_namespace(bare_bed, kubectl) as name:
        yield name


@contextmanager
def new_namespace(bed: Bed, kubectl: Kubectl) -> Iterator[str]:
    """A namespace; the objects of our kinds in it are deleted at the end.

    A controller that still runs is given the time to take its containers away. The namespace
    itself stays until the control plane goes: nothing would finish its deletion.
    """
    name = f"test-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    try:
        yield name
    finally:
        runs = any(process.alive() for process in bed.state.controllers.values())
        patience = ["--timeout=100s"] if runs else ["--wait=false"]
        kubectl("delete", PLURALS, "--all", "-n", name, *patience, check=False)
        # A finalizer whose controller has been stopped must not hold up the next test.
        left = kubectl("get", PLURALS, "-n", name, "-o", "name").stdout.split()
        patch = '{"metadata":{"finalizers":null}}'
        for found in left:
            kubectl("patch", found, "-n", name, "--type=merge", "-p", patch, check=False)


StartController = Callable[..., RunningController]


@pytest.fixture
def controller(bed: Bed) -> Iterator[StartController]:
    """`controller(NAME="value", ...)` starts one with these CHALLENGE_* settings over the bed's.

    Each has a state folder of its own unless STATE_DIR names another. All are stopped at the end,
    and what they have left on the engine goes.
    """
    started: list[RunningController] = []

    def start(role: str = "all", *, module: str = PROGRAM, **settings: str) -> RunningController:
        env: Mapping[str, str] = {f"CHALLENGE_{key}": value for key, value in settings.items()}
        name = f"test-{uuid.uuid4().hex[:8]}"
        running = RunningController.start(bed, name, role=role, env=env, module=module)
        started.append(running)
        return running

    yield start
    for running in started:
        running.stop()
    remove_from_engine(bed.docker_host, bed.state.name)


@pytest.fixture
def world(
    bed: Bed, kubectl: Kubectl, namespace: str, running: RunningController
) -> Iterator[World]:
    """The controller that a module has as its `running`, and a namespace of the test's own.

    Nothing may be left after.
    """
    world = World(bed, kubectl, namespace, running)
    yield world
    world.tell()
    world.delete()
    world.assert_nothing_left()
    assert "Traceback" not in running.logs()
