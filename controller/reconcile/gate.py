"""The launch gate: how many launches and removals the engine is given at a time.

Tickets, not blocking: who asks is told yes or no at once, and is woken when its turn has come, so
that an instance in the queue can still be deleted, moved or looked at. Those whose turn comes next,
as many as there are slots, are called up before: they look at what they need meanwhile and then
wait for the slot (`wait`), so that none is idle while its next holder reads its object. First come
first served; launches before removals, but every fourth slot goes to a waiting removal. It starts
nothing itself and knows nothing of instances but their uids.

A call that the engine has not answered outlives its slot: whoever made it must not hold it for
ever. Such calls count against the capacity, but for one slot, so that an engine that hangs at one
name goes on with all others; when they are twice the capacity, the engine counts as hanging, and
nothing is started until one is answered. So the engine never has more than twice the capacity of
launches and removals.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Final, Protocol

REMOVAL_SHARE: Final = 4
"""Every so many grants a waiting removal goes before the launches."""
HANGING_SHARE: Final = 2
"""Unanswered calls for each slot at which the engine counts as hanging."""


class Work(Enum):
    """What a slot is wanted for."""

    LAUNCH = "launch"
    REMOVAL = "removal"


class Observer(Protocol):
    """Who is told how long it all took; times in seconds."""

    def waited(self, work: Work, seconds: float) -> None:
        """A slot was granted after that time in the queue."""
        ...

    def held(self, work: Work, seconds: float) -> None:
        """A slot was given back after that time."""
        ...


class Nobody:
    """An observer that does not look."""

    def waited(self, work: Work, seconds: float) -> None:
        """Nothing."""

    def held(self, work: Work, seconds: float) -> None:
        """Nothing."""


@dataclass
class _Slot:
    work: Work
    since: float


class Gate:
    """``capacity`` slots, handed to uids in order; ``wake`` is called with a uid granted later.

    Where ``wake`` answers False, nobody would use the slot, and the next one gets it.
    """

    def __init__(
        self,
        capacity: int,
        wake: Callable[[str], bool],
        *,
        unanswered: Callable[[], int] = lambda: 0,
        call_up: Callable[[str], object] | None = None,
        observer: Observer | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``capacity`` is from 1 on; ``unanswered`` counts calls that have outlived their slot.

        Call ``kick`` when that number has become smaller. ``call_up`` is called with a uid whose
        launch comes next.
        """
        self._capacity = capacity
        self._wake = wake
        self._unanswered = unanswered
        self._call_up = call_up
        self._called: set[str] = set()
        self._waiters: dict[str, asyncio.Future[None]] = {}
        self._observer = observer or Nobody()
        self._monotonic = monotonic
        self._held: dict[str, _Slot] = {}
        self._queues: dict[Work, OrderedDict[str, float]] = {work: OrderedDict() for work in Work}
        self._grants = 0
        self._launches_held = False

    @property
    def capacity(self) -> int:
        """Slots at most at a time."""
        return self._capacity

    @property
    def held(self) -> int:
        """Slots in use."""
        return len(self._held)

    @property
    def waiting(self) -> int:
        """Tickets in the queue."""
        return sum(len(queue) for queue in self._queues.values())

    def waiting_for(self, work: Work) -> int:
        """Tickets in the queue for that."""
        return len(self._queues[work])

    @property
    def hanging(self) -> str:
        """Why the engine counts as hanging, for a user; empty when it does not."""
        stuck = self._unanswered()
        if stuck < HANGING_SHARE * self._capacity:
            return ""
        return (
            f"The engine has left {stuck} calls unanswered; nothing is launched until it answers "
            "one. If it stays so, restart the engine"
        )

    def waited(self, uid: str) -> float:
        """How long the uid has been in the queue, in seconds; 0 when it is not."""
        now = self._monotonic()
        return max(now - queue.get(uid, now) for queue in self._queues.values())

    def holds(self, uid: str) -> bool:
        """Whether the uid has a slot."""
        return uid in self._held

    def launches(self, uid: str) -> bool:
        """Whether the uid has a slot for a launch or waits for one."""
        slot = self._held.get(uid)
        return uid in self._queues[Work.LAUNCH] or (slot is not None and slot.work is Work.LAUNCH)

    def request(self, uid: str, work: Work) -> bool:
        """Ask for a slot: True when the uid has it now, else it is in the queue (or still is).

        A uid waits for one thing: asking for a removal ends its wait for a launch.
        """
        if uid in self._held:
            self._held[uid].work = work
            return True
        for other, queue in self._queues.items():
            if other is not work:
                queue.pop(uid, None)
        self._queues[work].setdefault(uid, self._monotonic())
        self._grant(quietly_to=uid)
        return uid in self._held

    async def wait(self, uid: str, timeout: float) -> bool:
        """Wait for the slot of a launch whose turn comes next, `timeout` seconds at most.

        Whether the uid has it now. One whose turn is not next is told no at once, and stays in the
        queue in any case.
        """
        if uid not in self._next_launches():
            return uid in self._held
        waiter = self._waiters[uid] = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait({waiter}, timeout=timeout)
        except asyncio.CancelledError:
            self.release(uid)
            raise
        finally:
            self._waiters.pop(uid, None)
        return uid in self._held

    def _next_launches(self) -> list[str]:
        if self._launches_held:
            return []
        return list(islice(self._queues[Work.LAUNCH], self._capacity))

    def release(self, uid: str) -> None:
        """Give a slot back, or leave the queue; a uid that has neither is fine."""
        for queue in self._queues.values():
            queue.pop(uid, None)
        if slot := self._held.pop(uid, None):
            self._observer.held(slot.work, self._monotonic() - slot.since)
            self._grant()

    def resize(self, capacity: int) -> None:
        """Change the number of slots; those in use beyond it are not taken away."""
        self._capacity = capacity
        self._grant()

    @property
    def launches_held(self) -> bool:
        """Whether launches wait though slots are free."""
        return self._launches_held

    def hold_launches(self) -> None:
        """Grant slots to removals only; launches keep their places in the queue."""
        self._launches_held = True

    def resume_launches(self) -> None:
        """Grant slots to launches again."""
        self._launches_held = False
        self._grant()

    def kick(self) -> None:
        """Grant what can be granted: the engine has answered a call that had outlived its slot."""
        self._grant()

    def _room(self) -> int:
        """Slots that can be granted now."""
        if self.hanging:
            return 0
        return max(1, self._capacity - self._unanswered()) - len(self._held)

    def _grant(self, quietly_to: str = "") -> None:
        while self._room() > 0 and (work := self._next()) is not None:
            uid, asked = self._queues[work].popitem(last=False)
            now = self._monotonic()
            self._held[uid] = _Slot(work, now)
            if uid != quietly_to and not self._tell(uid):
                del self._held[uid]  # nor does it count as the removals' share
                continue
            self._grants += 1
            self._observer.waited(work, now - asked)
        self._call_next()

    def _tell(self, uid: str) -> bool:
        """Tell who was granted a slot; whether there was anybody to be told."""
        waiter = self._waiters.get(uid)
        if waiter is None or waiter.done():
            return self._wake(uid)
        waiter.set_result(None)
        return True

    def _call_next(self) -> None:
        if self._call_up is None:
            return
        coming = self._next_launches()
        for uid in coming:
            if uid not in self._called:
                self._call_up(uid)
        self._called = set(coming)

    def _next(self) -> Work | None:
        launches, removals = self._queues[Work.LAUNCH], self._queues[Work.REMOVAL]
        if self._launches_held:
            return Work.REMOVAL if removals else None
        if launches and removals:
            due = self._grants % REMOVAL_SHARE == REMOVAL_SHARE - 1
            return Work.REMOVAL if due else Work.LAUNCH
        if launches:
            return Work.LAUNCH
        return Work.REMOVAL if removals else None
