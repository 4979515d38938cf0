"""Instances that the work queue forgets: not looked at again, and no wake-up lost to it."""

import asyncio

import pytest

from controller.reconcile.queue import Key, WorkQueue
from tests.unit.reconcile.test_reconcile_queue import STEADY, Reconciler, key
from tests.unit.reconcile.virtual_time import virtual


@virtual
async def test_a_forgotten_instance_is_not_looked_at_again_by_itself() -> None:
    reconcile = Reconciler()
    queue = WorkQueue(reconcile, STEADY)
    queue.wake_after(key("a"), 5.0)
    queue.forget("a")
    queue.forget("never seen")
    await asyncio.sleep(20)
    assert (reconcile.begun, len(queue), queue.wake_uid("a")) == ([], 0, False)


@virtual
async def test_an_instance_that_its_own_reconcile_forgets_is_gone_after_it() -> None:
    reconcile = Reconciler()
    queue = WorkQueue(reconcile, STEADY)

    def result(what: Key) -> float:
        queue.forget(what.uid)
        known.append(len(queue))
        return 5.0

    known: list[int] = []
    reconcile.result = result
    queue.wake(key("a"))
    await asyncio.sleep(20)
    assert (reconcile.times("a"), known, len(queue)) == ([0.0], [1], 0)


@pytest.mark.parametrize("by_uid", [True, False])
def test_a_wake_up_is_not_lost_to_a_forget_in_the_same_run(by_uid: bool) -> None:
    """A slot granted just then would be held for ever by an instance that nobody looks at."""

    @virtual
    async def check() -> None:
        reconcile = Reconciler()
        queue = WorkQueue(reconcile, STEADY)
        known: list[bool] = []
        runs = 0

        def result(what: Key) -> None:
            nonlocal runs
            runs += 1
            if runs == 1:
                queue.forget(what.uid)
                if by_uid:
                    known.append(queue.wake_uid(what.uid))
                else:
                    queue.wake(what)

        reconcile.result = result
        queue.wake(key("a"))
        await asyncio.sleep(20)
        assert (runs, len(queue)) == (2, 1)
        assert known == [True] * by_uid

    check()


@virtual
async def test_a_forgotten_instance_that_comes_back_starts_without_failures() -> None:
    reconcile = Reconciler()

    def result(_: Key) -> None:
        raise OSError

    reconcile.result = result
    queue = WorkQueue(reconcile, STEADY, expected=(OSError,))
    queue.wake(key("a"))
    await asyncio.sleep(2.5)
    queue.forget("a")
    await asyncio.sleep(97.5)
    assert reconcile.times("a") == [0, 1]
    queue.wake(key("a"))
    await asyncio.sleep(1.5)
    assert reconcile.times("a") == [0, 1, 100, 101]
    await queue.stop(0.1)
