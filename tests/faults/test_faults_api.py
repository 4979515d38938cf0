"""The way to the API server breaks in every manner while instances come, go, rest and stay.

Afterwards each is as it should be, launched once, and nobody was hammered meanwhile: neither the
API server with requests, nor the machine with work, nor the log with lines. Agent and manager are
one process here, behind one proxy; `test_faults_api_roles` has them apart.
"""

from collections.abc import Iterator

import pytest

from hack.bed.bed import Bed
from hack.bed.kubeconfig import Kubectl
from hack.bed.running import RunningController
from tests.faults.api_breaks import BREAKS, break_and_mend
from tests.faults.api_proxy import ApiProxy
from tests.faults.churn import Churn, churning
from tests.faults.worlds import QUICK

IN_SHORT = {
    "every write conflicts",
    "too many requests",
    "answers that are no JSON",
    "writes whose outcome is not known",
    "now and then anything",
}
"""What a plain run shows; the others take two minutes more."""


@pytest.fixture(scope="module")
def proxy(bed: Bed) -> Iterator[ApiProxy]:
    """The way of this module's controller to the API server."""
    made = ApiProxy(bed, as_admin=True)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def running(bed: Bed, proxy: ApiProxy) -> Iterator[RunningController]:
    """One controller behind the proxy, agent and manager, for all tests of this module."""
    token = bed.state.folder / "behind-a-proxy.token"
    token.write_text("anybody")
    settings = QUICK | {
        "KUBECONFIG": str(proxy.kubeconfig("behind-a-proxy", token)),
        "RESYNC_INTERVAL": "5",
        "MANAGER_LEASE_DURATION": "10",  # on a machine in use 2 s pass without a renewal
    }
    env = {f"CHALLENGE_{key}": value for key, value in settings.items()}
    controller = RunningController.start(bed, "behind-a-proxy", env=env)
    controller.wait_until_serving(90)
    yield controller
    controller.stop()


@pytest.fixture(scope="module")
def churn(
    bed: Bed, kubectl: Kubectl, running: RunningController, echo_image: str
) -> Iterator[Churn]:
    """The instances of this module; nothing of them may be left at its end."""
    with churning(bed, kubectl, running, echo_image) as made:
        yield made


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in IN_SHORT else pytest.mark.slow, id=n) for n in BREAKS],
)
def test_all_converge_and_nobody_is_hammered_when_there_is(
    churn: Churn, proxy: ApiProxy, running: RunningController, name: str
) -> None:
    break_and_mend(churn, proxy, name, [running])


@pytest.mark.slow
def test_an_api_server_that_is_started_anew_in_the_middle_of_everything_loses_nothing(
    churn: Churn, bed: Bed, running: RunningController
) -> None:
    for _ in range(2):
        churn.stir()
        bed.control_plane.stop_apiserver()
        bed.control_plane.start_apiserver()
        churn.settle()
    assert "Traceback" not in running.logs()
