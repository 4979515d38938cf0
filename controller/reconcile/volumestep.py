"""KeepLimits: an instance with a volume on disk that is over its limit is stopped for good.

Its containers stay to be looked at, its ports stay held and its time goes on, but nothing is
started again. What has found it is `volumelimits`.
"""

from controller.api import conditions, reasons
from controller.reconcile import teardown, volumelimits, volumes
from controller.reconcile.result import DONE, Failed, Result
from controller.reconcile.show import show
from controller.reconcile.work import Work
from controller.runtime import containers


async def keep_limits(work: Work) -> Result:
    """Have the instance's volumes looked at, and stop it once one is over its limit."""
    services = work.services
    limits = volumes.disk_limits(work)
    if not limits:
        return DONE
    folder = services.folders.path(work.uid) / volumes.FOLDER
    services.volume_limits.watch(work.uid, volumelimits.paths(limits, folder))
    if not work.containers:
        if _told(work):
            work.drop(conditions.LAUNCHED)  # of containers that are gone, with what they wrote
        return DONE
    message = services.volume_limits.exceeded(work.uid) or _told(work)
    if not message:
        return DONE
    alive = [state for state in work.containers if state.state in ("running", "paused")]
    for state in alive:
        await containers.kill(services.engine, state.name)
    if alive:
        work.containers = await teardown.existing(services, work.uid)
    services.readiness.forget(work.uid)
    show(work, work.containers)
    work.condition(conditions.LAUNCHED, False, reasons.STORAGE_EXCEEDED, message)
    return Failed(reasons.STORAGE_EXCEEDED, message)


def _told(work: Work) -> str:
    """What an earlier process has found, of containers that are still there."""
    launched = conditions.get(work.status.conditions, conditions.LAUNCHED)
    if launched is None or launched.reason != reasons.STORAGE_EXCEEDED:
        return ""
    return launched.message
