"""Whether the API server's store has gone back to an earlier state, as after a restored backup.

A LIST begun after some version of an object was seen cannot bring an older one, and its own version
is not older than any that was listed before; if it does, the store is not the one that it was. Then
what is believed to be outdated is what is true, and a watch that goes on from a later version would
tell nothing until the store has come to it again.
"""

import asyncio
import logging

from controller.cluster.version import version_of

logger = logging.getLogger(__name__)


class History:
    """What was seen of one API server's store."""

    def __init__(self) -> None:
        """Nothing was seen."""
        self._newest: dict[str, int] = {}
        self._turned = asyncio.Event()
        self.turns = 0
        """How often it has gone back."""

    def newest(self, plural: str) -> int:
        """The version of the newest LIST of a kind; to be asked before another one is begun."""
        return self._newest.get(plural, 0)

    def listed(self, plural: str, answer: dict[str, object], before: int) -> None:
        """A LIST begun when ``before`` was the newest has answered this."""
        version = version_of({"metadata": answer.get("metadata") or {}})
        if 0 < version < before:
            self.turn()
            self._newest.clear()
        self._newest[plural] = max(version, self._newest.get(plural, 0))

    def compare(self, body: dict[str, object], seen: int) -> bool:
        """Whether a LIST, begun when a version of this object had been seen, shows it older."""
        if not 0 < version_of(body) < seen:
            return False
        self.turn()
        return True

    def turn(self) -> None:
        """The store has gone back."""
        if not self._turned.is_set():  # or it was said for another object of the same LIST
            logger.warning("The API server's store has gone back to an earlier state")
        self.turns += 1
        self._turned.set()

    async def turned(self, since: int) -> int:
        """Wait until it has gone back more often than ``since``; returns how often."""
        while self.turns <= since:
            self._turned.clear()
            await self._turned.wait()
        return self.turns
