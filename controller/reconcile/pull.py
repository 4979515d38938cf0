"""PullImages: every image of the template is on the engine before a launch slot is asked for."""

from controller.api import conditions, image_reference, reasons
from controller.cluster.references import ReferenceMissing
from controller.reconcile import teardown
from controller.reconcile.keyring import keyring
from controller.reconcile.result import DONE, Failed, Result, Waiting
from controller.reconcile.work import Work
from controller.runtime.images import Failed as PullFailed
from controller.runtime.images import Pulling

REFERENCE_RETRY = 15.0
"""Seconds until another look for a Secret: nobody tells of one that appears."""


async def pull(work: Work) -> Result:
    """Have the images pulled where their policy says so; gives the ports back when one fails."""
    services = work.services
    if work.containers:
        return DONE
    if failed := services.attempts.pending(work.uid, now=services.monotonic()):
        return failed

    template, namespace = work.template, work.instance.metadata.namespace
    try:
        keys = await keyring(services.cluster, namespace, template.image_pull_secrets)
    except ReferenceMissing as missing:
        return Waiting(reasons.SECRET_NOT_FOUND, str(missing), REFERENCE_RETRY)

    def wake() -> None:
        services.wake(work.uid)

    for container in template.containers:
        status = await services.images.ensure(
            str(image_reference.parse(container.image)),
            container.image_pull_policy,
            wake,
            auths=keys.auths(container.image),
            waiter=work.uid,
        )
        if isinstance(status, Pulling):
            return _waiting(work, container.image, status)
        if isinstance(status, PullFailed):
            return await _give_up(work, container.image, status)
    return DONE


def _waiting(work: Work, image: str, pulling: Pulling) -> Result:
    # A try that follows a failure keeps showing the failure until it is known to have helped.
    if last := work.services.attempts.last(work.uid):
        return Failed(last.reason, last.message)
    progress = f": {pulling.progress}" if pulling.progress else ""
    message = f"Pulling {image}{progress}"
    work.condition(conditions.LAUNCHED, False, reasons.PULLING_IMAGE, message)
    return Waiting(reasons.PULLING_IMAGE, message, pulling.changes_in)


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
