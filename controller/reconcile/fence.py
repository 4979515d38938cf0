"""The fence: nothing is launched before what is no longer this node's own is gone.

Closed when the agent starts, and when it was cut off for so long that its instances may have been
moved. It holds the launches back at the gate, and knows who has to be looked at before it opens; it
takes nothing away itself.
"""

import asyncio
from collections.abc import Iterable

from controller.reconcile.gate import Gate


class Fence:
    """Open at first."""

    def __init__(self, gate: Gate) -> None:
        """``gate`` is the one that launches go through."""
        self._gate = gate
        self._expected: set[str] = set()
        self._settled = asyncio.Event()

    @property
    def closed(self) -> bool:
        """Whether launches are held back."""
        return self._gate.launches_held

    def close(self) -> None:
        """Hold launches back; those under way go on."""
        self._expected.clear()
        self._gate.hold_launches()

    def open(self) -> None:
        """Let launches through."""
        self._expected.clear()
        self._gate.resume_launches()

    def expect(self, uids: Iterable[str]) -> None:
        """Wait for these too: they may not be this node's own any more."""
        if self.closed:
            self._expected.update(uids)

    def settle(self, uid: str) -> None:
        """That one is gone, or is this node's own after all."""
        self._expected.discard(uid)
        if not self._expected:
            self._settled.set()

    async def settled(self, timeout: float) -> set[str]:
        """Wait until all are settled, ``timeout`` seconds at most; returns those that are not."""
        try:
            async with asyncio.timeout(timeout):
                while self._expected:
                    self._settled.clear()
                    await self._settled.wait()
        except TimeoutError:
            return set(self._expected)
        return set()
