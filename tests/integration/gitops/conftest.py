"""A controller, and what GitOps tools make of its objects."""

from collections.abc import Callable, Iterator

import pytest

from hack.bed.bed import Bed
from hack.bed.gitops import Verdict, kstatus
from hack.bed.report import Report
from hack.bed.running import RunningController
from tests.integration.gitops.states import Object

SETTINGS = {"BACKOFF_INITIAL": "0.2", "BACKOFF_MAXIMUM": "2"}


@pytest.fixture(scope="module")
def running(
    bed: Bed, echo_image: str, request: pytest.FixtureRequest
) -> Iterator[RunningController]:
    """One controller for all tests of a module."""
    name = request.module.__name__.rpartition("_")[2]
    env = {f"CHALLENGE_{key}": value for key, value in SETTINGS.items()}
    controller = RunningController.start(bed, f"gitops-{name}", env=env)
    bed.wait_for_controller(controller.name)
    yield controller
    controller.stop()


@pytest.fixture(scope="session")
def judge() -> Callable[[Object], Verdict]:
    """What the real kstatus says of an object."""

    def ask(body: Object) -> Verdict:
        (verdict,) = kstatus([body], Report())
        return verdict

    return ask
