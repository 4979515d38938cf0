"""When the engine or the whole host was restarted: what ended then has not ended by itself.

Kept in the ledger, so that it holds for an agent that was away at the time as well. It restarts
nothing: it only says whose doing a container's end was.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from controller.ledger import Ledger

SHUTDOWN: Final = 15_000
"""Milliseconds for which an engine ends its containers before it is gone itself (dockerd's own
`shutdown-timeout`); it can have answered us meanwhile. Rather one restart too many is not counted
than one that was the engine's is."""

RUN: Final = "engine_run"
SEEN: Final = "engine_seen"
OUTAGE: Final = "engine_outage"


class Outages:
    """The last outage of one node's engine; all times are in milliseconds UTC."""

    def __init__(self, ledger: Ledger, now: Callable[[], int]) -> None:
        """``now`` is the host's clock, which the engine's times are of as well."""
        self._ledger = ledger
        self._now = now
        self._begin = self._end = 0

    async def reached(self, run: str, *, was_away: bool) -> None:
        """The engine answers, in that run (`runtime.run`); raises LedgerUnavailable.

        ``was_away`` says that this process has lost it in between: that decides where the run does
        not tell.
        """
        await asyncio.to_thread(self._reached, run, was_away)

    async def is_new(self, run: str) -> bool:
        """Whether it is certainly another run than the one that was reached last."""
        before = await asyncio.to_thread(self._ledger.get_meta, RUN)
        return before is not None and before != run

    async def seen(self) -> None:
        """The engine still answers; raises LedgerUnavailable."""
        await asyncio.to_thread(self._note, SEEN, str(self._now()))

    def caused(self, ended: int | None) -> bool:
        """Whether a container that ended then was ended by the engine, or with the host."""
        return ended is not None and self._begin <= ended <= self._end

    def _reached(self, run: str, was_away: bool) -> None:
        before, now = self._ledger.get_meta(RUN), self._now()
        if before is None:
            pass  # nothing of ours can have run before
        elif before != run or (was_away and run.endswith("/")):
            seen = int(self._ledger.get_meta(SEEN) or now)
            self._note(OUTAGE, f"{seen - SHUTDOWN}-{now}")
        self._note(RUN, run)
        self._note(SEEN, str(now))
        begin, _, end = (self._ledger.get_meta(OUTAGE) or "0-0").partition("-")
        self._begin, self._end = int(begin), int(end)

    def _note(self, key: str, value: str) -> None:
        self._ledger.set_meta(key, value)
