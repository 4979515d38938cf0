"""Converged instances are marked finalized in the ledger, many with one write, and none lost."""

import asyncio
from collections.abc import Iterable

import pytest

from controller.ledger import Ledger, LedgerUnavailable
from controller.reconcile.batch import FinalizeBatch


def finalized(ledger: Ledger) -> set[str]:
    return {row.uid for row in ledger.instances() if row.is_finalized}


def reserve(ledger: Ledger, *uids: str) -> None:
    for uid in uids:
        ledger.reserve(uid, ["web"], namespace="team", name=uid, now=1)


async def test_what_came_together_is_finalized_at_once(ledger: Ledger) -> None:
    reserve(ledger, "a", "b", "c")
    batch = FinalizeBatch(ledger, lambda: 2)
    batch.add("a")
    batch.add("b")
    batch.add("a")
    await batch.flush()
    assert finalized(ledger) == {"a", "b"}
    await batch.flush()
    assert finalized(ledger) == {"a", "b"}


async def test_the_window_is_followed_by_a_write_and_by_the_next_window(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve(ledger, "a", "b", "c")
    loop, written = asyncio.get_running_loop(), asyncio.Queue[set[str]]()
    finalize = ledger.finalize

    def noted(uids: Iterable[str], *, now: int) -> set[str]:
        done = finalize(uids, now=now)
        loop.call_soon_threadsafe(written.put_nowait, done)
        return done

    monkeypatch.setattr(ledger, "finalize", noted)
    batch = FinalizeBatch(ledger, lambda: 2, window=0.01)
    task = asyncio.create_task(batch.run())
    async with asyncio.timeout(30):
        batch.add("a")
        batch.add("b")
        assert await written.get() == {"a", "b"}
        batch.add("c")
        assert await written.get() == {"c"}
    task.cancel()


async def test_an_instance_released_meanwhile_is_left_out(ledger: Ledger) -> None:
    reserve(ledger, "a")
    batch = FinalizeBatch(ledger, lambda: 2)
    batch.add("a")
    batch.add("gone")
    await batch.flush()
    assert finalized(ledger) == {"a"}


async def test_a_batch_that_fails_is_written_with_the_next_one(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve(ledger, "a", "b", "c")

    def locked(uids: Iterable[str], *, now: int) -> set[str]:
        raise LedgerUnavailable(ledger.path, "database is locked", "wait")

    batch = FinalizeBatch(ledger, lambda: 2)
    batch.add("a")
    batch.add("b")
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "finalize", locked)
        await batch.flush()
    assert finalized(ledger) == set()
    batch.add("c")
    await batch.flush()
    assert finalized(ledger) == {"a", "b", "c"}


async def test_an_instance_that_is_launched_again_meanwhile_is_not_finalized(
    ledger: Ledger,
) -> None:
    """Its status has not converged: after a crash its launch would not be looked into."""
    reserve(ledger, "a", "b")
    batch = FinalizeBatch(ledger, lambda: 2)
    batch.add("a")
    batch.add("b")
    batch.discard("a")
    batch.discard("never seen")
    await batch.flush()
    assert finalized(ledger) == {"b"}
