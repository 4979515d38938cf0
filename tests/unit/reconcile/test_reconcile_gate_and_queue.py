"""Gate and work queue together: whoever waits for a slot gets one, whatever the others do.

The reconcile here keeps the one rule that InstanceReconciler keeps: a slot that was granted before
it began and is not used is given on.
"""

import asyncio
import logging
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.reconcile.gate import Gate, Work
from controller.reconcile.queue import Key, WorkQueue
from tests.unit.reconcile.test_reconcile_queue import STEADY, key
from tests.unit.reconcile.virtual_time import virtual

UIDS = [f"uid-{number}" for number in range(6)]
NEW = [f"new-{number}" for number in range(4)]


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """Every failure is logged, and failures are what this is about."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


class Node:
    """Instances that launch, are deleted, fail, change their mind or vanish, as chance has it."""

    def __init__(self, capacity: int, random: Random) -> None:
        self.random = random
        self.queue = WorkQueue(self.reconcile, STEADY, expected=(OSError,), workers=3)
        self.gate = Gate(capacity, self.queue.wake_uid)
        self.capacity = capacity
        self.at_work = 0
        self.most = 0
        self.served: set[str] = set()
        self.calm = False

    async def reconcile(self, what: Key) -> float | None:
        """One look, as InstanceReconciler's."""
        held = self.gate.holds(what.uid)
        try:
            return await self.look(what.uid)
        finally:
            if held and self.gate.holds(what.uid):
                self.gate.release(what.uid)

    async def look(self, uid: str) -> float | None:
        """Launch when everything is calm; until then anything."""
        await asyncio.sleep(self.random.choice([0, 0.1, 0.3]))
        does = "launch" if self.calm else self.random.choice(["launch", "remove", "vanish", "idle"])
        if does == "idle":
            return self.random.choice([None, 0.2])
        if does == "vanish":
            if self.random.random() < 0.5:
                self.gate.release(uid)
            self.queue.forget(uid)  # perhaps with its ticket still in the gate
            return None
        if self.calm and uid in self.served:
            return None
        if not self.gate.request(uid, Work.REMOVAL if does == "remove" else Work.LAUNCH):
            return None
        await self.work(uid)
        if self.calm:
            self.served.add(uid)
        return None

    async def work(self, uid: str) -> None:
        """Use the slot; the engine may refuse."""
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        try:
            await asyncio.sleep(self.random.choice([0.1, 0.5]))
            if not self.calm and self.random.random() < 0.3:
                raise OSError("refused")
        finally:
            self.at_work -= 1
            self.gate.release(uid)


@settings(max_examples=40)
@given(st.integers(1, 2), st.integers(0, 2**32))
def test_no_slot_is_lost_whatever_order_things_happen_in(capacity: int, seed: int) -> None:
    """A uid forgotten while its ticket was in the gate once kept its slot for ever."""

    @virtual
    async def check() -> None:
        random = Random(seed)
        node = Node(capacity, random)
        for _ in range(80):
            uid = random.choice(UIDS)
            if random.random() < 0.2:
                node.queue.forget(uid)
            else:
                node.queue.wake(key(uid))
            await asyncio.sleep(random.choice([0, 0.05, 0.2]))
        await asyncio.sleep(100)
        node.calm = True
        for uid in NEW:
            node.queue.wake(key(uid))
        await asyncio.sleep(100)
        assert node.served == set(NEW), f"seed {seed}"
        assert (node.gate.held, node.gate.waiting) == (0, 0), f"seed {seed}"
        assert node.most <= capacity, f"seed {seed}"
        await node.queue.stop(5.0)

    check()
