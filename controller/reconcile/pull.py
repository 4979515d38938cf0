"""PullImages: every image of the template is on the engine before a launch slot is asked for."""

from controller.api import conditions, reasons
from controller.reconcile import teardown
from controller.reconcile.result import DONE, Failed, Result, Waiting
from controller.reconcile.work import Work
from controller.runtime.images import Failed as PullFailed
from controller.runtime.images import Pulling


async def pull(work: Work) -> Result:
    """Have the images pulled where their policy says so; gives the ports back when one fails."""
    services = work.services
    if work.containers:
        return DONE
    if failed := services.attempts.pending(work.uid, now=services.monotonic()):
        return failed

    def wake() -> None:
        services.wake(work.uid)

    for container in work.template.containers:
        status = await services.images.ensure(
            container.image,
            container.image_pull_policy,
            wake,
            waiter=work.uid,
            not_before=_launch_began(work),
        )
        if isinstance(status, Pulling):
            return _waiting(work, f"Pulling {container.image}")
        if isinstance(status, PullFailed):
            return await _give_up(work, container.image, status)
    return DONE


def _launch_began(work: Work) -> float:
    """When this launch began, on the monotonic clock: older pulls do not count for Always."""
    began = work.status.start_time or work.now
    return work.services.monotonic() - (work.now - began).total_seconds()


def _waiting(work: Work, message: str) -> Result:
    # A try that follows a failure keeps showing the failure until it is known to have helped.
    if last := work.services.attempts.last(work.uid):
        return Failed(last.reason, last.message)
    work.condition(conditions.LAUNCHED, False, reasons.PULLING_IMAGE, message)
    return Waiting(reasons.PULLING_IMAGE, message)


async def _give_up(work: Work, image: str, failed: PullFailed) -> Result:
    await teardown.release(work)
    now = work.services.monotonic()
    return work.services.attempts.fail(
        work.uid,
        reasons.IMAGE_PULL_FAILED,
        f"{image}: {failed.message}",
        now=now,
        at_least=failed.retry_at - now,
    )
