"""Keeps launched containers up: starts those that have ended, by restartPolicy and within a budget.

Counts in the status, so that a restarted agent goes on counting.
"""

from datetime import UTC, datetime

from controller.api import conditions, reasons
from controller.api.instance import ContainerStatus
from controller.reconcile import gate
from controller.reconcile.result import DONE, Failed, Result, Waiting
from controller.reconcile.show import launched, learn_images, show
from controller.reconcile.work import Work
from controller.runtime import containers
from controller.runtime.containers import ContainerState

RUN_LONG_ENOUGH = 600.0
"""Seconds after which an end does not count with the ones before; a kubelet does the same."""


async def keep_up(work: Work) -> Result:
    """Start again what has ended; Done when everything runs (or is paused)."""
    await learn_images(work, work.containers)
    show(work, work.containers)
    ended = [state for state in work.containers if state.state == "exited"]
    for state in ended:
        found = await containers.inspect(work.services.engine, state.name)
        status = _record(work, found)
        if blocked := _blocked(work, found, status):
            return blocked
        if not work.services.gate.request(work.uid, gate.Work.LAUNCH):
            message = f"Container {status.name} ended; in the queue for a launch slot"
            return Waiting(reasons.WAITING_FOR_LAUNCH_SLOT, message)
        try:
            await containers.start(work.services.engine, state.name)
            work.services.readiness.forget(work.uid)  # what it answered before does not count
        finally:
            work.services.gate.release(work.uid)
        status.restart_count += 1
        status.state, status.ready = "Running", False
    if ended:
        work.containers = [
            await containers.inspect(work.services.engine, state.name) for state in work.containers
        ]
    launched(work)
    return DONE


def _record(work: Work, found: ContainerState) -> ContainerStatus:
    status = next(s for s in work.status.containers if s.name == found.container)
    status.exit_code, status.ready = found.exit_code, False
    status.reason = "OOMKilled" if found.oom_killed else "Completed"
    if found.exit_code and not found.oom_killed:
        status.reason = "Error"
    if _seconds(found) > RUN_LONG_ENOUGH:
        status.restart_count = 0
    return status


def _blocked(work: Work, found: ContainerState, status: ContainerStatus) -> Failed | None:
    """Why it is not started again now, if so."""
    policy = work.template.restart_policy
    ended = f"Container {status.name} ended with exit code {found.exit_code} ({status.reason})"
    if policy == "Never" or (policy == "OnFailure" and found.exit_code == 0):
        return _down(work, reasons.CONTAINER_EXITED, f"{ended}; restartPolicy is {policy}", None)
    if status.restart_count >= work.services.settings.restart_budget:
        times = f"{ended} after {status.restart_count} restarts; no further one is made"
        return _down(work, reasons.CRASH_LOOP, times, None)
    finished = datetime.fromtimestamp((found.finished_at or 0) / 1000, UTC)
    waited = (work.services.clock.now() - finished).total_seconds()
    left = work.services.attempts.delay(status.restart_count + 1) - waited
    if status.restart_count and left > 0:
        return _down(work, reasons.CONTAINER_EXITED, f"{ended}; it is started again soon", left)
    return None


def _down(work: Work, reason: str, message: str, after: float | None) -> Failed:
    work.condition(conditions.LAUNCHED, False, reason, message)
    return Failed(reason, message, after)


def _seconds(found: ContainerState) -> float:
    if not found.started_at or not found.finished_at:
        return 0.0
    return (found.finished_at - found.started_at) / 1000
