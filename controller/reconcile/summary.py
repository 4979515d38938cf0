"""What the steps' results come to: the conditions Ready, Reconciling and Stalled.

The last two are kstatus' own, which GitOps tools wait by: both absent and Ready True, or a
finished object that is to rest (suspended, expired), is done; Stalled is failed. What may come
right by itself at the next try is Reconciling, with what went wrong as its reason.
"""

from controller.api import conditions, reasons
from controller.reconcile.result import Done, Ended, Failed, Result, Waiting
from controller.reconcile.work import Work


def summarize(work: Work, result: Result) -> None:
    """Draft the summary conditions for the result of the last step that was run."""
    match result:
        case Done():
            work.condition(conditions.READY, True, reasons.READY)
            work.status.ready_time = work.status.ready_time or work.now
            work.drop(conditions.RECONCILING)
            work.drop(conditions.STALLED)
        case Ended():
            for kind in (conditions.READY, conditions.RECONCILING, conditions.STALLED):
                work.drop(kind)
        case Waiting(reason, message) | Failed(reason, message, stalled=False):
            work.condition(conditions.READY, False, reason, message)
            work.condition(conditions.RECONCILING, True, reason, message)
            work.drop(conditions.STALLED)
        case Failed(reason, message):
            work.condition(conditions.READY, False, reason, message)
            work.condition(conditions.STALLED, True, reason, message)
            work.drop(conditions.RECONCILING)
