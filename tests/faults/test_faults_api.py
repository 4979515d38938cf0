"""The way to the API server breaks in every manner while instances come, go, rest and stay.

Afterwards each is as it should be, launched once, and nobody was hammered meanwhile: neither the
API server with requests, nor the machine with work, nor the log with lines.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from hack.bed.bed import Bed
from hack.bed.kubeconfig import Kubectl
from hack.bed.running import RunningController
from tests.faults import api_faults as faults
from tests.faults.api_proxy import ApiProxy, Fault, Rule
from tests.faults.churn import Churn, cpu_seconds
from tests.faults.worlds import QUICK
from tests.integration.world import World, until
from tests.onenode import new_namespace

INSTANCES = "challengeinstances.*"
OURS = "(challenge.*|leases|events)"


@dataclass(frozen=True)
class Break:
    """One way to break it: of which requests, for how long at least, and what is bearable then."""

    fault: Fault
    verbs: str = ".*"
    resources: str = OURS
    chance: float = 1.0
    seconds: float = 2.5
    rate: float = 15.0
    """Requests in a second at most, on average, while it is broken; the usual ones included."""
    least: int = 1
    """So many requests must have met the fault, or nothing was shown."""


BREAKS = {
    "every write conflicts": Break(faults.answers(409, "Conflict"), "update|patch"),
    "every watch is gone": Break(faults.gone_in_the_stream, "watch"),
    "every watch and list is refused as too old": Break(
        faults.answers(410, "Expired"), "watch|list"
    ),
    "too many requests": Break(
        faults.answers(429, "TooManyRequests", Retry_After="2"), rate=6.0, seconds=4.0
    ),
    "errors of all kinds": Break(
        faults.one_of(
            faults.answers(500, "InternalError"),
            faults.answers(503, "ServiceUnavailable"),
            faults.answers(504, "Timeout"),
            faults.answers(502, body=faults.HTML),
            faults.answers(500, body=""),
        )
    ),
    "answers that are no JSON": Break(
        faults.one_of(faults.garbled, faults.not_an_object), "get|list|create|update|patch"
    ),
    "watches cut in the middle of an event": Break(
        faults.one_of(faults.cut_in_an_event, faults.ended_in_an_event), "watch"
    ),
    "watches cut at once": Break(faults.cut_at_once, "watch"),
    "answers cut in their middle": Break(faults.cut_body, "get|list|create|update|patch"),
    "writes whose outcome is not known": Break(faults.cut_after, "create|update|patch"),
    "no connection lasts": Break(faults.cut_before),
    "a token that has ended": Break(faults.answers(401, "Unauthorized")),
    "rights that are missing": Break(faults.answers(403, "Forbidden")),
    "events twice": Break(faults.twice, "watch"),
    "events in another order": Break(faults.shuffled(1), "watch"),
    "now and then anything": Break(
        faults.one_of(
            faults.answers(409, "Conflict"),
            faults.answers(429, "TooManyRequests", Retry_After="1"),
            faults.answers(500, "InternalError"),
            faults.cut_before,
            faults.cut_after,
            faults.cut_body,
            faults.garbled,
        ),
        "get|list|create|update|patch|delete",
        chance=0.4,
        seconds=4.0,
        rate=25.0,
    ),
}


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
    settings = QUICK | {"KUBECONFIG": str(proxy.kubeconfig("behind-a-proxy", token))}
    settings |= {"RESYNC_INTERVAL": "5"}
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
    with new_namespace(bed, kubectl) as namespace:
        world = World(bed, kubectl, namespace, running)
        yield Churn(world, echo_image)
        world.delete()
        world.assert_nothing_left()
    assert "Traceback" not in running.logs()


def broken(churn: Churn, proxy: ApiProxy, how: Break) -> list[Rule]:
    """Break it, ask for changes meanwhile, and hold both to what is bearable."""
    running = churn.world.controller
    pid, logged = running.process.pid, len(running.logs())
    with proxy.broken(how.fault, how.verbs, how.resources, chance=how.chance) as rule:
        begun, used = time.monotonic(), cpu_seconds(pid)
        churn.stir()
        until(lambda: time.monotonic() - begun > how.seconds and rule.struck >= how.least)
        took = time.monotonic() - begun
        requests, used = len(proxy.made(since=begun)), cpu_seconds(pid) - used
    lines = running.logs()[logged:].splitlines()
    print(
        f"{took:.1f} s: {requests} requests, {rule.struck} broken, {used:.1f} s CPU,",
        f"{len(lines)} lines",
    )
    print("\n".join(lines))
    assert requests / took <= how.rate
    assert used / took <= 0.5
    assert len(lines) / took <= 5
    return [rule]


@pytest.mark.parametrize("name", BREAKS)
def test_everything_converges_after(churn: Churn, proxy: ApiProxy, name: str) -> None:
    churn.begin()
    broken(churn, proxy, BREAKS[name])
    mended = time.monotonic()
    churn.settle()
    print(f"converged after {time.monotonic() - mended:.1f} s")
    assert "Traceback" not in churn.world.controller.logs()
