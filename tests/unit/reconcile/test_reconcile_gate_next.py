"""Whose launch comes next waits in place, so that no slot is idle while its holder gets ready."""

import asyncio

import pytest

from controller.reconcile.gate import Gate, Work
from tests.unit.reconcile.virtual_time import now, settle, virtual


class Queue:
    """A gate of two slots, whom it has woken, and whom it has called up."""

    def __init__(self, capacity: int = 2) -> None:
        self.woken: list[str] = []
        self.called: list[str] = []
        self.gate = Gate(capacity, self._wake, call_up=self.called.append)

    def _wake(self, uid: str) -> bool:
        self.woken.append(uid)
        return True

    def ask(self, *uids: str, work: Work = Work.LAUNCH) -> list[bool]:
        """Ask for a slot for each, in this order."""
        return [self.gate.request(uid, work) for uid in uids]


def test_as_many_are_called_up_as_there_are_slots_and_each_once() -> None:
    queue = Queue()
    assert queue.ask("a", "b", "c", "d", "e", "f") == [True, True, False, False, False, False]
    assert queue.called == ["c", "d"]
    queue.ask("c", "e")  # asked again, as a reconcile that was woken for another reason does
    assert queue.called == ["c", "d"]
    queue.gate.release("a")
    assert (queue.woken, queue.called) == (["c"], ["c", "d", "e"])
    queue.gate.resize(3)
    assert queue.woken == ["c", "d"]
    assert queue.called == ["c", "d", "e", "f"]


def test_removals_are_not_called_up() -> None:
    queue = Queue(1)
    queue.ask("a", "r", work=Work.REMOVAL)
    assert queue.called == []


@virtual
async def test_the_next_gets_the_slot_where_it_waits_and_is_not_woken() -> None:
    queue = Queue()
    queue.ask("a", "b", "c")
    waiting = asyncio.create_task(queue.gate.wait("c", 2.0))
    await settle()
    assert not waiting.done()
    queue.gate.release("a")
    assert await waiting
    assert (queue.woken, queue.gate.holds("c"), now()) == ([], True, 0.0)


@virtual
async def test_who_is_further_back_is_told_at_once_and_woken_in_its_turn() -> None:
    queue = Queue(1)
    queue.ask("a", "b", "c")
    assert not await queue.gate.wait("c", 2.0)
    assert now() == 0.0
    for holder in ("a", "b"):
        queue.gate.release(holder)
    assert queue.woken == ["b", "c"]


@virtual
async def test_who_has_waited_in_vain_stays_in_the_queue() -> None:
    queue = Queue(1)
    queue.ask("a", "b")
    assert not await queue.gate.wait("b", 2.0)
    assert (now(), queue.gate.waiting) == (2.0, 1)
    queue.gate.release("a")
    assert (queue.woken, queue.gate.holds("b")) == (["b"], True)


@virtual
async def test_whose_wait_is_cut_off_leaves_neither_a_slot_nor_a_ticket() -> None:
    queue = Queue(1)
    queue.ask("a", "b", "c")
    waiting = asyncio.create_task(queue.gate.wait("b", 2.0))
    await settle()
    queue.gate.release("a")  # it has the slot now, and has not run since
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not queue.gate.holds("b")
    assert (queue.woken, queue.gate.holds("c"), queue.gate.waiting) == (["c"], True, 0)


@virtual
async def test_who_is_to_be_removed_instead_waits_for_that() -> None:
    queue = Queue(1)
    queue.ask("a", "b")
    waiting = asyncio.create_task(queue.gate.wait("b", 2.0))
    await settle()
    queue.ask("b", work=Work.REMOVAL)
    queue.gate.release("a")
    assert await waiting, "the slot is its own, whatever it is for"
    assert queue.gate.holds("b")
