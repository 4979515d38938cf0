"""Keeps launched containers up: starts those that have ended, by restartPolicy and within a budget.

Counts in the status, so that a restarted agent goes on counting. What the engine itself has ended,
or a reboot of the host, is not the container's doing: it is started again whatever the policy says,
without a wait and without a count.
"""

from datetime import UTC, datetime

from controller.api import conditions, reasons
from controller.api.instance import ContainerStatus
from controller.reconcile import gate, teardown
from controller.reconcile.result import DONE, Failed, Result, Waiting
from controller.reconcile.show import launched, learn_images, show
from controller.reconcile.work import Work
from controller.runtime import containers
from controller.runtime.containers import ContainerState
from controller.runtime.errors import EngineError, NotFound

RUN_LONG_ENOUGH = 600.0
"""Seconds after which an end does not count with the ones before; a kubelet does the same."""


async def keep_up(work: Work) -> Result:
    """Start again what has ended; Done when everything runs (or is paused)."""
    await learn_images(work, work.containers)
    show(work, work.containers)
    for state in work.containers:
        if state.is_cut_off:
            message = f"Container {state.container} is not on its network any more"
            return await _replace(work, message)
    ended = [state for state in work.containers if state.state == "exited"]
    for state in ended:
        try:
            found = await containers.inspect(work.services.engine, state.name)
        except NotFound:
            message = f"Container {state.container} was removed; it is made anew"
            return _again(work, reasons.CONTAINER_EXITED, message, 0.0)
        if held_up := await _restart(work, found):
            return held_up
    if ended:
        work.containers = [
            await containers.inspect(work.services.engine, state.name) for state in work.containers
        ]
        show(work, work.containers)
    launched(work)
    return DONE


async def _restart(work: Work, found: ContainerState) -> Result | None:
    """Start one container again, under the gate; or why that is not done now."""
    services = work.services
    by_engine = services.outages.caused(found.finished_at)
    status = _record(work, found, by_engine=by_engine)
    if not by_engine and (blocked := _blocked(work, found, status)):
        return blocked
    if queued := _queued(work, f"Container {status.name} ended"):
        return queued
    try:
        await containers.start(services.engine, found.name)
        services.readiness.forget(work.uid)  # what it answered before does not count
    except EngineError as refused:
        message = f"Container {status.name} cannot be started again: {refused.message}"
        return await _afresh(work, message)
    finally:
        services.gate.release(work.uid)
    services.metrics.restarted("engine" if by_engine else "exit")
    status.restart_count += 0 if by_engine else 1
    status.state, status.ready = "Running", False
    return None


def _queued(work: Work, why: str) -> Waiting | None:
    """Ask for a slot; what to wait for while there is none."""
    if work.services.gate.request(work.uid, gate.Work.LAUNCH):
        return None
    message = f"{why}; in the queue for a launch slot"
    work.condition(conditions.LAUNCHED, False, reasons.WAITING_FOR_LAUNCH_SLOT, message)
    return Waiting(reasons.WAITING_FOR_LAUNCH_SLOT, message)


async def _replace(work: Work, message: str) -> Result:
    """Have containers that run, and are of no use, made anew."""
    if queued := _queued(work, message):
        return queued
    try:
        return await _afresh(work, message)
    finally:
        work.services.gate.release(work.uid)


async def _afresh(work: Work, message: str) -> Failed:
    """Containers of no use as they are (a port or the network is gone) are to be made anew.

    The instance keeps its ports; one that somebody else holds now is swapped by the launch. Its
    network may be what is amiss, and is given to nobody else.
    """
    services = work.services
    services.readiness.forget(work.uid)
    await teardown.discard(services, work.uid, [state.name for state in work.containers])
    work.containers = []
    work.condition(conditions.LAUNCHED, False, reasons.LAUNCH_FAILED, message)
    return services.attempts.fail(
        work.uid, reasons.LAUNCH_FAILED, message, now=services.monotonic()
    )


def _record(work: Work, found: ContainerState, *, by_engine: bool) -> ContainerStatus:
    status = next(s for s in work.status.containers if s.name == found.container)
    status.exit_code, status.ready = found.exit_code, False
    status.reason = "OOMKilled" if found.oom_killed else "Completed"
    if found.exit_code and not found.oom_killed:
        status.reason = "Error"
    if by_engine:
        status.reason = "EngineStopped"
    if _seconds(found) > RUN_LONG_ENOUGH:
        status.restart_count = 0
    return status


def _blocked(work: Work, found: ContainerState, status: ContainerStatus) -> Failed | None:
    """Why it is not started again now, if so."""
    policy = work.template.restart_policy
    ended = f"Container {status.name} ended with exit code {found.exit_code} ({status.reason})"
    if policy == "Never" or (policy == "OnFailure" and found.exit_code == 0):
        return _down(work, reasons.CONTAINER_EXITED, f"{ended}; restartPolicy is {policy}")
    if status.restart_count >= work.services.settings.restart_budget:
        times = f"{ended} after {status.restart_count} restarts; no further one is made"
        return _down(work, reasons.CRASH_LOOP, times)
    finished = datetime.fromtimestamp((found.finished_at or 0) / 1000, UTC)
    waited = (work.services.clock.now() - finished).total_seconds()
    left = work.services.attempts.delay(status.restart_count + 1) - waited
    if status.restart_count and left > 0:
        return _again(work, reasons.CONTAINER_EXITED, f"{ended}; it is started again soon", left)
    return None


def _down(work: Work, reason: str, message: str) -> Failed:
    """It is not started again."""
    work.condition(conditions.LAUNCHED, False, reason, message)
    return Failed(reason, message)


def _again(work: Work, reason: str, message: str, after: float) -> Failed:
    """It is started again after so many seconds, as long as there is a budget."""
    work.condition(conditions.LAUNCHED, False, reason, message)
    return Failed(reason, message, after, stalled=False)


def _seconds(found: ContainerState) -> float:
    if not found.started_at or not found.finished_at:
        return 0.0
    return (found.finished_at - found.started_at) / 1000
