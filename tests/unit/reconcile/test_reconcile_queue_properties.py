"""The work queue whatever happens to it, in whatever order; how long it waits after failures."""

import asyncio
import logging
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.reconcile.queue import Backoff, Key, WorkQueue
from tests.unit.reconcile.test_reconcile_queue import STEADY, UIDS, Unsteady, key
from tests.unit.reconcile.virtual_time import virtual

Happening = tuple[str, str, float]
HAPPENINGS = st.lists(
    st.tuples(
        st.sampled_from(["wake", "wake_uid", "wake_after", "forget"]),
        st.sampled_from(UIDS),
        st.floats(0, 3),
    ),
    max_size=30,
)


@settings(max_examples=60)
@given(HAPPENINGS, st.integers(0, 2**32))
def test_whatever_happens_every_wake_up_is_followed_by_a_look(
    happenings: list[Happening], seed: int
) -> None:
    """And nobody is looked at by two workers, nor kept once forgotten and not woken since."""
    random = Random(seed)
    owed: set[str] = set()
    kept: set[str] = set()

    @virtual
    async def check() -> None:
        async def reconcile(what: Key) -> float | None:
            twice.update({what.uid} & at_work)
            at_work.add(what.uid)
            owed.discard(what.uid)
            kept.add(what.uid)
            await asyncio.sleep(random.choice([0, 0.1, 1.0]))
            at_work.discard(what.uid)
            if random.random() < 0.2:
                raise OSError
            return random.choice([None, None, 0.5])

        at_work: set[str] = set()
        twice: set[str] = set()
        queue = WorkQueue(reconcile, STEADY, expected=(OSError,), workers=2)
        for what, uid, pause in happenings:
            if what == "wake" or (what == "wake_uid" and queue.wake_uid(uid)):
                queue.wake(key(uid))
                owed.add(uid)
                kept.add(uid)
            elif what == "wake_after":
                queue.wake_after(key(uid), pause)
                owed.add(uid)
                kept.add(uid)
            elif what == "forget":
                queue.forget(uid)
                if uid not in at_work:
                    owed.discard(uid)
                kept.discard(uid)
            await asyncio.sleep(pause)
        await asyncio.sleep(30)
        assert owed == set(), f"never looked at, seed {seed}"
        assert twice == set(), f"looked at by two at a time, seed {seed}"
        assert {known.uid for known in queue.known()} <= kept
        await queue.stop(5.0)

    logging.disable(logging.WARNING)
    try:
        check()
    finally:
        logging.disable(logging.NOTSET)


@given(st.floats(0.1, 10), st.floats(0.1, 600), st.integers(1, 2000), st.floats(-1, 1))
def test_waits_double_up_to_the_maximum_and_are_spread_by_a_fifth(
    initial: float, maximum: float, failures: int, deviation: float
) -> None:
    wait = Backoff(initial, maximum, Unsteady(deviation)).delay(failures)
    plain = min(maximum, initial * 2.0 ** min(failures - 1, 100))
    assert 0.79 * plain <= wait <= 1.21 * plain
    spread = {Backoff(initial, maximum, Unsteady(d)).delay(failures) for d in (-1.0, 1.0)}
    assert len(spread) == 2
