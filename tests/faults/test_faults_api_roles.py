"""The way to the API server breaks for the agent alone, for the manager alone, and for both.

Each has its own account here, and no more rights than in production.
"""

from collections.abc import Iterator

import pytest

from hack.bed.bed import Bed
from hack.bed.kubeconfig import Kubectl
from hack.bed.running import RunningController
from tests.faults.api_breaks import break_and_mend
from tests.faults.api_proxy import ApiProxy
from tests.faults.churn import Churn, churning
from tests.faults.worlds import QUICK

pytestmark = pytest.mark.slow

SETTINGS = QUICK | {"RESYNC_INTERVAL": "5", "MANAGER_LEASE_DURATION": "10"}


@pytest.fixture(scope="module")
def proxy(bed: Bed) -> Iterator[ApiProxy]:
    """The way of those to the API server for whom it breaks."""
    made = ApiProxy(bed)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module", params=["agent", "manager", "agent and manager"])
def controllers(
    bed: Bed, proxy: ApiProxy, request: pytest.FixtureRequest
) -> Iterator[dict[str, RunningController]]:
    """An agent and a manager, of whom those that the parameter names are behind the proxy."""
    started = {}
    try:
        for role in ("agent", "manager"):
            name = f"{role}-apart"
            token = "manager" if role == "manager" else name
            env = {f"CHALLENGE_{key}": value for key, value in SETTINGS.items()}
            if role in request.param:
                file = bed.control_plane.state.folder / f"{token}.token"
                env["CHALLENGE_KUBECONFIG"] = str(proxy.kubeconfig(f"{name}-proxied", file))
            number = None if role == "manager" else 1
            started[role] = RunningController.start(bed, name, role=role, number=number, env=env)
        for controller in started.values():
            controller.wait_until_serving(90)
        yield started
    finally:
        for controller in started.values():
            controller.stop()


@pytest.fixture(scope="module")
def churn(
    bed: Bed, kubectl: Kubectl, controllers: dict[str, RunningController], echo_image: str
) -> Iterator[Churn]:
    """The instances of these two; nothing of them may be left at the end."""
    with churning(bed, kubectl, controllers["agent"], echo_image) as made:
        yield made


@pytest.mark.parametrize(
    "name",
    [
        "errors of all kinds",
        "a token that has ended",
        "writes whose outcome is not known",
        "no connection lasts",
        "now and then anything",
    ],
)
def test_all_converge_and_nobody_is_hammered_when_there_is(
    churn: Churn, proxy: ApiProxy, controllers: dict[str, RunningController], name: str
) -> None:
    break_and_mend(churn, proxy, name, list(controllers.values()))
