"""Finalize: once the API server has the converged status, the ledger marks the row finalized."""

from controller.reconcile.result import DONE, Result
from controller.reconcile.work import Work


async def finalize(work: Work) -> Result:
    """Put the instance into the next batch unless its row is finalized already."""
    if work.row is None or not work.row.is_finalized:
        work.services.batch.add(work.uid)
    return DONE
