"""PullImages: every image of the template is on the engine before a launch slot is asked for."""

from controller.api import conditions, image_reference, reasons
from controller.cluster.references import ReferenceMissing
from controller.reconcile import lookup, teardown
from controller.reconcile.keyring import keyring
from controller.reconcile.result import DONE, Result, Waiting
from controller.reconcile.work import Work
from controller.runtime.images import Failed as PullFailed
from controller.runtime.images import Pulling
from controller.runtime.progress import FIRST_CHANGE

PRESENT = 10.0
"""Seconds for which an image that was there counts as there: fifty instances of one image are
launched on one look. One that has gone meanwhile is missed by the engine, and asked for again."""


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
        return Waiting(reasons.SECRET_NOT_FOUND, str(missing), lookup.again(work))

    def wake() -> None:
        services.wake(work.uid)

    pulling: dict[str, Pulling] = {}
    for container in template.containers:  # all of them are asked for before one is waited for
        status = await services.images.ensure(
            str(image_reference.parse(container.image)),
            container.image_pull_policy,
            wake,
            auths=keys.auths(container.image),
            waiter=work.uid,
            within=PRESENT,
        )
        if isinstance(status, PullFailed):
            return await _give_up(work, container.image, status)
        if isinstance(status, Pulling):
            pulling[container.image] = status
    return _waiting(work, pulling) if pulling else DONE


def _waiting(work: Work, pulling: dict[str, Pulling]) -> Result:
    # A try that follows a failure keeps showing the failure until it is known to have helped.
    if last := work.services.attempts.last(work.uid):
        return last
    parts = [f"{image}: {p.progress}" if p.progress else image for image, p in pulling.items()]
    message = f"Pulling {', '.join(parts)}"
    work.condition(conditions.LAUNCHED, False, reasons.PULLING_IMAGE, message)
    changes = min(p.changes_in for p in pulling.values())
    # Each image's words have a pace of their own; the instance's all together have none that is
    # faster.
    return Waiting(reasons.PULLING_IMAGE, message, max(changes, FIRST_CHANGE))


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
