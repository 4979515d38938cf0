"""Release: ports, subnet and row of a removed instance go back to the ledger."""

from controller.ledger import Ledger
from controller.reconcile import teardown
from controller.reconcile.result import DONE, Result
from controller.reconcile.services import Services


async def release(services: Services, uid: str) -> Result:
    """Give everything back that the ledger holds for the uid; nothing held is fine."""
    await teardown.free(services, uid)
    services.attempts.succeed(uid)
    services.starved.discard(uid)
    services.seen.pop(uid, None)
    services.stopping.pop(uid, None)
    services.gate.release(uid)
    if not services.seen and not await services.book(Ledger.uids):
        await services.bridges.tidy()
    return DONE
