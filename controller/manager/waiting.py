"""Why each instance still waits, and when its status is to say so.

So that who cannot be placed is looked at again only after something has changed that could help,
and so that most short waits are never written down.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from controller.cluster.client import Object
from controller.manager.placement import Demand, Refusal

PATIENCE: Final = 1.0
"""Seconds that an instance waits before its status says why: most need not be told."""
QUEUE_PATIENCE: Final = 10.0
"""The same where nodes just have enough to launch for the moment, and nothing is amiss."""
REFUSED: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Seconds to the next try when the API server has refused to have its status written, each time in
a row. Most often the watch brings at once what has changed; but a right may have been missing."""
RETELL: Final = 15.0
"""Seconds between two looks at whether a status still says the right thing, such as its numbers."""


@dataclass(slots=True)
class Wait:
    """One that was not placed at once."""

    since: float
    """When it was first seen."""
    due: float
    """When its status is to be looked at."""
    epoch: int = -1
    """What had changed when it was last refused."""
    refused: Object | None = None
    """The object over which nothing could be written."""
    refusals: int = 0
    """How often in a row."""
    again: float = 0.0
    """When that is tried again, unless another object comes before."""
    generation: int = -1
    """The Challenges' generation that the following was worked out at."""
    demand: Demand | None = None
    missing: Refusal | None = None
    """What is to be said when its Challenge does not exist, or it is too large."""


class Waiting:
    """All that wait, and who is to be told next."""

    def __init__(self, now: Callable[[], float]) -> None:
        """``now`` is a clock that only goes forward, in seconds."""
        self._now = now
        self._waits: dict[str, Wait] = {}
        self._due: list[tuple[float, str]] = []
        self._again: list[tuple[float, str]] = []

    def __len__(self) -> int:
        """How many are known."""
        return len(self._waits)

    def of(self, uid: str) -> Wait:
        """What is known of one; its patience begins now if it was not known."""
        known = self._waits.get(uid)
        if known is None:
            now = self._now()
            known = self._waits[uid] = Wait(since=now, due=now + PATIENCE)
            heapq.heappush(self._due, (known.due, uid))
        return known

    def is_vain(self, body: Object, epoch: int) -> bool:
        """Whether nothing has changed that could help since it was last tried."""
        known = self._waits.get(body["metadata"]["uid"])
        return known is not None and (known.epoch == epoch or known.refused is body)

    def refuse(self, body: Object) -> None:
        """The API server has refused to write over this object: not again before a while."""
        known = self.of(body["metadata"]["uid"])
        known.refused, wait = body, REFUSED[min(known.refusals, len(REFUSED) - 1)]
        known.refusals += 1
        known.again = self._now() + wait
        heapq.heappush(self._again, (known.again, body["metadata"]["uid"]))

    def retry(self) -> None:
        """Have those tried again whose while is over."""
        while self._again and self._again[0][0] <= self._now():
            at, uid = heapq.heappop(self._again)
            known = self._waits.get(uid)
            if known is not None and known.again == at:
                known.refused, known.epoch = None, -1

    def is_patient(self, uid: str) -> bool:
        """Whether it need not be told yet that nodes have enough to launch for the moment."""
        return self._now() < self.of(uid).since + QUEUE_PATIENCE

    def forgive(self) -> None:
        """Try again to write over all objects."""
        for known in self._waits.values():
            known.refused = None

    def told(self, uid: str) -> None:
        """Its status says why, or need not yet; it is looked at again in a while."""
        known = self._waits.get(uid)
        if known is not None:
            patient = self._now() < known.since + QUEUE_PATIENCE
            known.due = known.since + QUEUE_PATIENCE if patient else self._now() + RETELL
            heapq.heappush(self._due, (known.due, uid))

    def due(self) -> Iterator[str]:
        """Who is due, each once; what is not told is due again only after ``told``."""
        while self._due and self._due[0][0] <= self._now():
            at, uid = heapq.heappop(self._due)
            known = self._waits.get(uid)
            if known is not None and known.due == at:
                yield uid

    def next_due(self) -> float | None:
        """Seconds until somebody is due, or to be tried again; None when nobody will be."""
        while self._due:
            at, uid = self._due[0]
            known = self._waits.get(uid)
            if known is not None and known.due == at:
                break
            heapq.heappop(self._due)
        first = [heap[0][0] for heap in (self._due, self._again) if heap]
        return max(0.0, min(first) - self._now()) if first else None

    def forget(self, uid: str) -> None:
        """It waits no more."""
        self._waits.pop(uid, None)
