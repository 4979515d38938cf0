"""The launch gate: how many launches and removals the engine is given at a time.

Tickets, not blocking: who asks is told yes or no at once, and is woken when its turn has come, so
that an instance in the queue can still be deleted, moved or looked at. First come first served;
launches before removals, but every fourth slot goes to a waiting removal. It starts nothing
itself and knows nothing of instances but their uids.
"""

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import Final

REMOVAL_SHARE: Final = 4
"""Every so many grants a waiting removal goes before the launches."""


class Work(Enum):
    """What a slot is wanted for."""

    LAUNCH = "launch"
    REMOVAL = "removal"


class Gate:
    """``capacity`` slots, handed to uids in order; ``wake`` is called with a uid granted later.

    Where ``wake`` answers False, nobody would use the slot, and the next one gets it.
    """

    def __init__(self, capacity: int, wake: Callable[[str], bool]) -> None:
        """``capacity`` is from 1 on."""
        self._capacity = capacity
        self._wake = wake
        self._held: dict[str, Work] = {}
        self._queues: dict[Work, OrderedDict[str, None]] = {work: OrderedDict() for work in Work}
        self._grants = 0

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

    def holds(self, uid: str) -> bool:
        """Whether the uid has a slot."""
        return uid in self._held

    def request(self, uid: str, work: Work) -> bool:
        """Ask for a slot: True when the uid has it now, else it is in the queue (or still is).

        A uid waits for one thing: asking for a removal ends its wait for a launch.
        """
        if uid in self._held:
            self._held[uid] = work
            return True
        for other, queue in self._queues.items():
            if other is not work:
                queue.pop(uid, None)
        self._queues[work].setdefault(uid)
        self._grant(quietly_to=uid)
        return uid in self._held

    def release(self, uid: str) -> None:
        """Give a slot back, or leave the queue; a uid that has neither is fine."""
        for queue in self._queues.values():
            queue.pop(uid, None)
        if self._held.pop(uid, None) is not None:
            self._grant()

    def resize(self, capacity: int) -> None:
        """Change the number of slots; those in use beyond it are not taken away."""
        self._capacity = capacity
        self._grant()

    def _grant(self, quietly_to: str = "") -> None:
        while len(self._held) < self._capacity and (work := self._next()) is not None:
            uid, _ = self._queues[work].popitem(last=False)
            self._held[uid] = work
            if uid != quietly_to and not self._wake(uid):
                del self._held[uid]  # nor does it count as the removals' share
                continue
            self._grants += 1

    def _next(self) -> Work | None:
        launches, removals = self._queues[Work.LAUNCH], self._queues[Work.REMOVAL]
        if launches and removals:
            due = self._grants % REMOVAL_SHARE == REMOVAL_SHARE - 1
            return Work.REMOVAL if due else Work.LAUNCH
        if launches:
            return Work.LAUNCH
        return Work.REMOVAL if removals else None
