"""The ways in which the way to the API server breaks, and what is bearable meanwhile."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hack.bed.running import RunningController
from tests.faults import api_faults as faults
from tests.faults.api_proxy import ApiProxy, Call, Fault
from tests.faults.churn import Churn
from tests.integration.world import until

OURS: Final = "(challenge.*|leases|events)"
"""The resources that controllers ask for again and again."""
CPU: Final = 0.5
"""CPU seconds in a second at most, of one controller."""
BURST: Final = 45.0
"""Requests in a second at most where seven watches begin anew, quickly at first."""
STRAGGLERS: Final = 4
"""Requests for one resource at most that were under way when the first one was refused."""
ASKED_BY_US: Final = "get|create|update|patch"
"""What kopf, which keeps a pause for each of its own requests, does not ask for."""
LINES: Final = 20
"""Log lines at most, of one controller, and one more each second: each part says it once."""


@dataclass(frozen=True)
class Break:
    """One way to break it: for which requests, for how long, and how many are bearable then."""

    fault: Fault
    verbs: str = ".*"
    resources: str = OURS
    chance: float = 1.0
    seconds: float = 2.5
    rate: float = 30.0
    """Requests in a second at most, on average, while it is broken; the usual ones included."""
    pause: float = 0.0
    """Seconds for which a resource is to be left alone once a request for it was refused."""


ANY: Final = faults.one_of(
    faults.answers(409, "Conflict"),
    faults.answers(429, "TooManyRequests", Retry_After="1"),
    faults.answers(500, "InternalError"),
    faults.cut_before,
    faults.cut_after,
    faults.cut_body,
    faults.garbled,
)
ERRORS: Final = faults.one_of(
    faults.answers(500, "InternalError"),
    faults.answers(503, "ServiceUnavailable"),
    faults.answers(504, "Timeout"),
    faults.answers(502, body=faults.HTML),
    faults.answers(500, body=""),
)
TOO_MANY: Final = faults.answers(429, "TooManyRequests", Retry_After="2")
NO_WATCH: Final = "get|list|create|update|patch|delete"

BREAKS: Final = {
    "every write conflicts": Break(faults.answers(409, "Conflict"), "update|patch"),
    "every watch is gone": Break(faults.gone_in_the_stream, "watch", rate=BURST),
    "every watch and list is too old": Break(
        faults.answers(410, "Expired"), "watch|list", rate=BURST
    ),
    "too many requests": Break(TOO_MANY, NO_WATCH, rate=6.0, seconds=4.0, pause=2.0),
    "too many watches": Break(TOO_MANY, "list|watch", rate=12.0, seconds=4.0),
    "errors of all kinds": Break(ERRORS),
    "answers that are no JSON": Break(
        faults.one_of(faults.garbled, faults.not_an_object), NO_WATCH
    ),
    "somebody else who answers": Break(faults.portal, resources=".*"),
    "watches cut in the middle of an event": Break(
        faults.one_of(faults.cut_in_an_event, faults.ended_in_an_event), "watch"
    ),
    "watches cut at once": Break(faults.cut_at_once, "watch", rate=BURST),
    "answers cut in their middle": Break(faults.cut_body, NO_WATCH),
    "writes whose outcome is not known": Break(faults.cut_after, "create|update|patch"),
    "no connection lasts": Break(faults.cut_before),
    "a token that has ended": Break(faults.answers(401, "Unauthorized")),
    "rights that are missing": Break(faults.answers(403, "Forbidden")),
    "events twice": Break(faults.twice, "watch"),
    "events in another order": Break(faults.shuffled(1), "watch"),
    "now and then anything": Break(ANY, NO_WATCH, chance=0.4, seconds=4.0),
    "no answer at all": Break(faults.mute, seconds=20.0),
    "answers that come too late": Break(faults.slow(12.0), "get|list|update", seconds=30.0),
}


def break_and_mend(
    churn: Churn, proxy: ApiProxy, name: str, controllers: Sequence[RunningController]
) -> None:
    """Break it, ask for changes meanwhile, mend it: all converges, and nobody was hammered.

    Watches are cut first, so that the fault meets them as well.
    """
    how = BREAKS[name]
    logged = {each.name: len(each.logs()) for each in controllers}
    used = sum(each.process.cpu_seconds() for each in controllers)
    with proxy.broken(how.fault, how.verbs, how.resources, chance=how.chance) as rule:
        begun = time.monotonic()
        proxy.cut_watches()
        churn.stir()
        until(lambda: time.monotonic() - begun > how.seconds and rule.struck > 0)
        took = time.monotonic() - begun
        requests = len(proxy.made(since=begun))
        asked = proxy.made(ASKED_BY_US, how.resources + "(/.*)?", since=begun)
    used = sum(each.process.cpu_seconds() for each in controllers) - used
    said = [each.logs()[logged[each.name] :] for each in controllers]
    mended = time.monotonic()
    churn.settle()
    converged = time.monotonic() - mended
    lines = sum(len(text.splitlines()) for text in said)
    print(
        f"{name}: {took:.1f} s, {requests} requests, {rule.struck} broken, {used:.1f} s CPU, "
        f"{lines} lines, converged after {converged:.1f} s"
    )
    print(f"{dict(_early(asked, how.pause))} within a pause", *said, sep="\n")
    assert requests / took <= how.rate * len(controllers)
    assert all(number <= STRAGGLERS for number in _early(asked, how.pause).values())
    assert used / took <= CPU * len(controllers)
    assert lines <= (LINES + took) * len(controllers)
    for each in controllers:
        assert "Traceback" not in each.logs()
        assert "gone back" not in each.logs(), "the store has not"


def _early(calls: Sequence[Call], pause: float) -> Counter[str]:
    """By resource, how many requests came within ``pause`` seconds of the first one, it included.

    All of them are refused.
    """
    first: dict[str, float] = {}
    early = Counter[str]()
    for call in calls:
        resource = call.resource.partition("/")[0]
        early[resource] += call.at < first.setdefault(resource, call.at) + pause
    return early
