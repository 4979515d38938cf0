"""Keeps the ledger's file in place: notices that it is gone or bad, and has it whole again.

While it is, no port is handed out and the node says so. A file that was moved, removed or replaced
is written again from the open connection, which still has all of it. Of one that was damaged or
written over nothing is to be believed: it is set aside, and the agent begins anew, with a ledger
that is rebuilt from what runs.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from controller.ledger import Ledger, LedgerCorrupt, LedgerLost, LedgerUnavailable, Loss

logger = logging.getLogger(__name__)

PERIOD: Final = 1.0
"""Seconds between two looks; every use of the ledger looks as well."""


async def keep(
    ledger: Ledger,
    *,
    lost_after: float,
    troubled: Callable[[], None],
    monotonic: Callable[[], float],
    period: float = PERIOD,
) -> None:
    """Look until cancelled; raises LedgerLost when the ledger is to be opened and rebuilt anew.

    ``lost_after`` is the time in seconds for which a file may be gone: who moved it may put it
    back. ``troubled`` is called when the node has something else to say of its ledger.
    """
    since: float | None = None
    while True:
        await asyncio.sleep(period)
        loss = await asyncio.to_thread(ledger.look)
        if loss is Loss.NONE:
            since = None
            continue
        if since is None:
            since = monotonic()
            logger.error("%s. No port is given out until then", ledger.problem)
            troubled()
        if monotonic() - since < lost_after:
            continue
        try:
            await asyncio.to_thread(_mend, ledger, loss)
        except LedgerUnavailable as error:
            logger.warning("Cannot mend the ledger, trying again: %s", error)
        else:
            since = None
            troubled()


def _mend(ledger: Ledger, loss: Loss) -> None:
    """Put the file back, or give it up; raises LedgerLost, LedgerUnavailable. Blocks."""
    if loss is Loss.AWAY:
        try:
            aside = ledger.put_back()
        except LedgerCorrupt:
            pass
        else:
            told = f"; what lay there is {aside} now" if aside else ""
            logger.warning("Put the ledger %s back, with all that it had%s", ledger.path, told)
            return
    why = ledger.problem
    aside = ledger.give_up()
    raise LedgerLost(f"{why}. Set aside as {aside}" if aside else why)
