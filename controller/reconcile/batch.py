"""Marks converged instances finalized in the ledger, many in one statement."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from controller.ledger import Ledger, LedgerError

RETRY: Final = 5.0
"""Seconds after which a batch that the ledger would not take is tried again."""

logger = logging.getLogger(__name__)


class FinalizeBatch:
    """Collects uids for ``window`` seconds, then finalizes them all at once."""

    def __init__(
        self,
        ledger: Ledger,
        now: Callable[[], int],
        window: float = 0.05,
    ) -> None:
        """``now`` gives milliseconds UTC."""
        self._ledger = ledger
        self._now = now
        self._window = window
        self._uids: set[str] = set()
        self._due = asyncio.Event()

    def add(self, uid: str) -> None:
        """Finalize this uid with the next batch."""
        self._uids.add(uid)
        self._due.set()

    def discard(self, uid: str) -> None:
        """Do not finalize this uid: it is being launched again."""
        self._uids.discard(uid)

    async def run(self) -> None:
        """Write batches until cancelled; what is left then is written by the next process."""
        while True:
            await self._due.wait()
            await asyncio.sleep(self._window)
            await self.flush()

    async def flush(self) -> None:
        """Write what has come together so far."""
        uids, self._uids = self._uids, set()
        self._due.clear()
        if not uids:
            return
        try:
            await asyncio.to_thread(self._ledger.finalize, sorted(uids), now=self._now())
        except LedgerError as error:
            logger.warning("Could not finalize %d instances, trying again: %s", len(uids), error)
            self._uids |= uids
            asyncio.get_running_loop().call_later(RETRY, self._due.set)
