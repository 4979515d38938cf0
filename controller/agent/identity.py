"""Is this the node that the ledger was made for? Checked before anything is served.

The ledger remembers node, engine, cluster and installation; another one of any of them means a
cloned state folder, a wrong socket or a wrong kubeconfig, and serving it would tear down what
belongs to somebody else.
"""

import asyncio

from controller.ledger import Ledger


class IdentityMismatch(Exception):
    """The ledger belongs to something else; the text says to what, and what to do."""


async def confirm(ledger: Ledger, key: str, value: str) -> None:
    """Compare one trait with what the ledger has recorded, or record it the first time.

    Raises IdentityMismatch.
    """
    recorded = await asyncio.to_thread(ledger.get_meta, key)
    if recorded is None:
        await asyncio.to_thread(ledger.set_meta, key, value)
    elif recorded != value:
        raise IdentityMismatch(
            f"The ledger {ledger.path} was made for {key} {recorded!r}, but this is {value!r}. "
            "If that is meant to be, move the ledger's file away: a fresh one is made at the next "
            "start. If not, correct the setting that points to the wrong place."
        )
