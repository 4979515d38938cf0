"""The work queue: one reconcile at a time for each instance, none lost, none too many."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from controller.reconcile.queue import Backoff, Key, WorkQueue
from tests.unit.reconcile.virtual_time import now, settle, virtual

UIDS = ["a", "b", "c"]


class Unsteady(Random):
    """The same deviation each time, from -1 (least) to 1 (most)."""

    def __init__(self, deviation: float) -> None:
        super().__init__(0)
        self.deviation = deviation

    def uniform(self, a: float, b: float) -> float:
        """The deviation within the bounds."""
        return a + (b - a) * (self.deviation + 1) / 2


STEADY = Backoff(1.0, 8.0, Unsteady(0.0))


def key(uid: str) -> Key:
    return Key(uid, "team", f"name-{uid}")


class Reconciler:
    """Notes each run and waits for a go; says what the run's result is."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, float]] = []
        self.ended: list[str] = []
        self.at_work: set[str] = set()
        self.twice: set[str] = set()
        self.most = 0
        self.go = asyncio.Event()
        self.go.set()
        self.result: Callable[[Key], Awaitable[float | None] | float | None] = lambda _: None

    async def __call__(self, what: Key) -> float | None:
        self.twice |= {what.uid} & self.at_work  # the queue catches what is raised here
        self.at_work.add(what.uid)
        self.most = max(self.most, len(self.at_work))
        self.begun.append((what.uid, now()))
        try:
            await self.go.wait()
            result = self.result(what)
            return await result if isinstance(result, Awaitable) else result
        finally:
            self.at_work.discard(what.uid)
            self.ended.append(what.uid)

    def times(self, uid: str) -> list[float]:
        """When the runs of an instance began."""
        return [at for other, at in self.begun if other == uid]


@virtual
async def test_a_wake_up_leads_to_one_reconcile() -> None:
    reconcile = Reconciler()
    queue = WorkQueue(reconcile, STEADY)
    queue.wake(key("a"))
    await settle()
    assert reconcile.ended == ["a"]
    assert (len(queue), queue.known()) == (1, [key("a")])


@virtual
async def test_wake_ups_during_a_run_lead_to_exactly_one_more() -> None:
    reconcile = Reconciler()
    reconcile.go.clear()
    queue = WorkQueue(reconcile, STEADY)
    queue.wake(key("a"))
    await settle()
    for _ in range(5):
        queue.wake(key("a"))
    assert queue.wake_uid("a")
    await settle()
    assert reconcile.ended == []
    reconcile.go.set()
    await settle()
    assert (reconcile.ended, reconcile.twice) == (["a", "a"], set())


@virtual
async def test_a_wake_up_before_the_run_began_is_served_by_it() -> None:
    reconcile = Reconciler()
    reconcile.go.clear()
    queue = WorkQueue(reconcile, STEADY, workers=1)
    queue.wake(key("a"))
    await settle()
    queue.wake(key("b"))
    await settle()
    queue.wake(key("b"))
    reconcile.go.set()
    await settle()
    assert reconcile.ended == ["a", "b"]


@virtual
async def test_instances_do_not_wait_for_each_other_but_for_a_worker() -> None:
    reconcile = Reconciler()
    reconcile.go.clear()
    queue = WorkQueue(reconcile, STEADY, workers=2)
    for uid in UIDS:
        queue.wake(key(uid))
    await settle()
    assert reconcile.at_work == {"a", "b"}
    reconcile.go.set()
    await settle()
    assert (sorted(reconcile.ended), reconcile.most) == (UIDS, 2)


@virtual
async def test_the_result_is_the_time_to_the_next_look() -> None:
    reconcile = Reconciler()
    waits = iter([5.0, 2.5, None])
    reconcile.result = lambda _: next(waits)
    queue = WorkQueue(reconcile, STEADY)
    queue.wake(key("a"))
    await asyncio.sleep(60)
    assert reconcile.times("a") == [0.0, 5.0, 7.5]


@virtual
async def test_of_two_times_the_earlier_counts_and_a_wake_up_before_both() -> None:
    reconcile = Reconciler()
    queue = WorkQueue(reconcile, STEADY)
    queue.wake_after(key("a"), 9.0)
    queue.wake_after(key("a"), 3.0)
    queue.wake_after(key("a"), 6.0)
    await asyncio.sleep(20)
    assert reconcile.times("a") == [3.0]
    queue.wake_after(key("a"), 9.0)
    queue.wake(key("a"))
    await asyncio.sleep(20)
    assert reconcile.times("a") == [3.0, 20.0]


@virtual
async def test_failures_are_tried_again_after_a_growing_time_until_one_succeeds() -> None:
    reconcile = Reconciler()
    failures = iter([True] * 5 + [False, True, False])

    def result(_: Key) -> None:
        if next(failures):
            raise OSError("the disk is gone")

    reconcile.result = result
    queue = WorkQueue(reconcile, STEADY, expected=(OSError,))
    queue.wake(key("a"))
    await asyncio.sleep(100)
    assert reconcile.times("a") == [0, 1, 3, 7, 15, 23]
    queue.wake(key("a"))
    await asyncio.sleep(100)
    assert reconcile.times("a")[6:] == [100, 101]


@virtual
async def test_a_wake_up_does_not_wait_for_the_back_off() -> None:
    reconcile = Reconciler()
    failures = iter([True, False])

    def result(_: Key) -> None:
        if next(failures):
            raise OSError

    reconcile.result = result
    queue = WorkQueue(reconcile, Backoff(100.0, 100.0, Unsteady(0.0)), expected=(OSError,))
    queue.wake(key("a"))
    await asyncio.sleep(10)
    queue.wake(key("a"))
    await asyncio.sleep(1000)
    assert reconcile.times("a") == [0, 10]


def test_only_a_failure_that_nobody_expected_has_its_traceback_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @virtual
    async def fail(error: Exception) -> None:
        reconcile = Reconciler()

        def result(_: Key) -> None:
            raise error

        reconcile.result = result
        queue = WorkQueue(reconcile, STEADY, expected=(OSError,))
        queue.wake(key("a"))
        await settle()
        await queue.stop(1.0)

    with caplog.at_level(logging.WARNING):
        fail(OSError("no route"))
        fail(KeyError("surprise"))
    expected, surprise = caplog.records
    assert "team/name-a" in expected.getMessage()
    assert "OSError: no route" in expected.getMessage()
    assert not expected.exc_info
    assert surprise.exc_info


@virtual
async def test_stopping_lets_what_runs_end_and_starts_nothing_more() -> None:
    reconcile = Reconciler()
    reconcile.go.clear()
    reconcile.result = lambda _: 1.0
    queue = WorkQueue(reconcile, STEADY)
    queue.wake(key("a"))
    queue.wake_after(key("b"), 1.0)
    await settle()
    queue.wake(key("a"))
    asyncio.get_running_loop().call_later(3.0, reconcile.go.set)
    await queue.stop(deadline=10.0)
    assert now() == 3.0
    queue.wake(key("c"))
    await asyncio.sleep(60)
    assert reconcile.ended == ["a"]
    assert reconcile.begun == [("a", 0.0)]


@virtual
async def test_stopping_cancels_what_does_not_end_in_time() -> None:
    reconcile = Reconciler()
    reconcile.go.clear()
    queue = WorkQueue(reconcile, STEADY)
    queue.wake(key("a"))
    await settle()
    await queue.stop(deadline=10.0)
    assert (now(), reconcile.at_work) == (10.0, set())
