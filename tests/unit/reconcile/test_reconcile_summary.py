"""What a reconcile comes to, in the words that kubectl wait, Flux and Argo CD go by."""

from datetime import timedelta

import pytest

from controller.api import conditions, reasons
from controller.reconcile.result import DONE, Ended, Failed, Result, Waiting
from controller.reconcile.summary import summarize
from controller.reconcile.work import Work
from tests.unit.reconcile.world import NOON, World

FAILED = Failed(reasons.LAUNCH_FAILED, "no")
RETRIED = Failed(reasons.LAUNCH_FAILED, "no", 1.0, stalled=False)
WAITING = Waiting(reasons.PULLING_IMAGE, "10 %")


def shown(work: Work) -> dict[str, str]:
    return {c.type: c.status for c in work.status.conditions}


@pytest.mark.parametrize("before", [DONE, FAILED, RETRIED, WAITING, Ended()])
@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (DONE, {"Ready": "True"}),
        (WAITING, {"Ready": "False", "Reconciling": "True"}),
        (FAILED, {"Ready": "False", "Stalled": "True"}),
        (RETRIED, {"Ready": "False", "Reconciling": "True"}),
        (Ended(), {}),
    ],
)
async def test_a_result_shows_as_kstatus_has_it_whatever_was_before(
    node: World, before: Result, result: Result, expected: dict[str, str]
) -> None:
    work = node.work()
    summarize(work, before)
    summarize(work, result)
    assert shown(work) == expected


@pytest.mark.parametrize(
    ("result", "kind"), [(FAILED, conditions.STALLED), (RETRIED, conditions.RECONCILING)]
)
async def test_reason_and_message_are_the_steps_own(node: World, result: Result, kind: str) -> None:
    work = node.work()
    summarize(work, result)
    for each in (conditions.READY, kind):
        found = conditions.get(work.status.conditions, each)
        assert found is not None
        assert (found.reason, found.message) == (reasons.LAUNCH_FAILED, "no")


async def test_the_first_time_ready_is_kept(node: World) -> None:
    work = node.work()
    summarize(work, WAITING)
    assert work.status.ready_time is None
    summarize(work, DONE)
    summarize(work, FAILED)
    work.now += timedelta(minutes=5)
    summarize(work, DONE)
    assert work.status.ready_time == NOON


async def test_a_status_that_says_nothing_new_is_not_written(node: World) -> None:
    """A write costs the API server as much as fifty reads, and wakes who watches."""
    work = node.work()
    summarize(work, DONE)
    await work.publish()
    assert node.cluster.count("PUT") == 1
    again = Work.of(node.services, work.read, None)
    again.now += timedelta(hours=1)
    summarize(again, DONE)
    await again.publish()
    assert node.cluster.count("PUT") == 1
