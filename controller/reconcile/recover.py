"""Recover: what a crashed launch has made goes, all of it, and the instance starts afresh.

The same for containers on ports that the ledger cannot have for them. Found by the comparison, and
looked at again here, in the instance's own reconcile: nobody else is at work on it meanwhile. In
the order of every removal: containers, networks, volumes, ports, row.
"""

import logging

from controller.api import conditions, reasons
from controller.ledger import Ledger
from controller.reconcile import collect, comparison, gate, teardown
from controller.reconcile.clock import milliseconds
from controller.reconcile.result import DONE, Result, Waiting
from controller.reconcile.work import Work

logger = logging.getLogger(__name__)

QUEUED = "In the queue for the removal of what its last launch has left"


async def recover(work: Work) -> Result:
    """Take away what is no instance of ours any more, and let the next launch be due in a while."""
    services, findings = work.services, work.services.findings
    if work.uid in findings.crashed and _is_crashed(work):
        message = "Its launch was cut off, and never came to its end"
    elif work.uid in findings.unbooked and work.row is None:
        message = "Its containers run on ports that this node's ledger does not have for it"
    else:
        findings.crashed.discard(work.uid)
        return DONE
    if not services.gate.request(work.uid, gate.Work.REMOVAL):
        return Waiting(reasons.WAITING_FOR_LAUNCH_SLOT, QUEUED)
    try:
        await _take_away(work)
    finally:
        services.gate.release(work.uid)
    message = f"{message}: what it had made was taken away, and it is launched afresh"
    logger.warning("%s: %s", work.instance.key, message)
    work.condition(conditions.LAUNCHED, False, reasons.LAUNCH_CRASHED, message)
    return services.attempts.fail(
        work.uid, reasons.LAUNCH_CRASHED, message, now=services.monotonic()
    )


async def not_begun(work: Work) -> None:
    """Have the ledger know of an instance that only waits that no launch of it is under way.

    Nothing is left of its last launch: who restarts it, or somebody's hand, has taken it away. It
    may wait for a Secret for longer than any launch takes, and has not crashed. Raises LedgerError.
    """
    row, services = work.row, work.services
    if row is None or row.is_finalized or row.attempt_started is None or work.containers:
        return
    if services.attempts.last(work.uid) is None and not services.pending(work.uid):
        await services.book(Ledger.withdraw_attempt, work.uid, now=milliseconds(work.now))


def _is_crashed(work: Work) -> bool:
    begun_before = milliseconds(work.now) - round(work.services.settings.launch_grace * 1000)
    return (
        work.row is not None
        and not collect.is_busy(work.services, work.uid)
        and comparison.is_crashed(
            work.row,
            [container.name for container in work.template.containers],
            work.containers,
            begun_before=begun_before,
        )
    )


async def _take_away(work: Work) -> None:
    """Everything of it, in order; raises RuntimeFault, and what is left then is found again."""
    services, uid = work.services, work.uid
    found = await teardown.existing(services, uid, work.names)
    await teardown.remove(services, uid, found)
    subnets = {held.subnet for held in await services.book(Ledger.subnets) if held.owner == uid}
    gone = await services.own_networks.remove_left(subnets, {state.network for state in found})
    row, volumes = work.row, services.folders.exists(uid)
    await teardown.release(work)
    work.containers = []
    services.findings.forget(uid)
    collect.tell(services, "launch")
    collect.tell(services, "container", len(found))
    collect.tell(services, "network", gone)
    collect.tell(services, "folder", int(volumes))
    if row is not None:
        collect.tell(services, "row")
        collect.tell(services, "port", len(row.ports))
