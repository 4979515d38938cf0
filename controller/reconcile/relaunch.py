"""Relaunch: when a restart was asked for, the old containers end, and Launch makes them anew.

With their grace period, under the gate, on the ports that the instance has. Its restarts are
counted from zero again: who asks for one has looked into it, also into a CrashLoop.
"""

from controller.api import conditions, reasons
from controller.reconcile.result import DONE, Result, Waiting
from controller.reconcile.stop import stop
from controller.reconcile.work import Work
from controller.runtime import labels


async def relaunch(work: Work) -> Result:
    """Take containers away that were made before the restart was asked for."""
    wanted = work.owner.restarted
    if not wanted or all(state.labels.get(labels.RESTARTED) == wanted for state in work.containers):
        return DONE
    grace = float(work.template.termination_grace_period_seconds)
    result = await stop(work.services, work.uid, grace, work.names)
    if isinstance(result, Waiting):
        message = f"A restart was asked for. {result.message}"
        work.condition(conditions.LAUNCHED, False, reasons.RESTARTING, message)
        return Waiting(reasons.RESTARTING, message, result.after)
    work.services.metrics.restarted("request", len(work.containers))
    work.services.attempts.succeed(work.uid)
    work.containers, work.status.containers = [], []
    work.status.start_time = work.now  # so that imagePullPolicy Always asks the registry again
    return DONE
