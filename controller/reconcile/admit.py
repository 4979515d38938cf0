"""Admit: what is to be launched, and may it be launched here.

Checks what the API server cannot see, and puts the agent's finalizer on the instance before
anything is made for it.
"""

from controller.api import reasons
from controller.api.challenge import Challenge
from controller.api.container import Container
from controller.api.template import resolve, resolve_policy
from controller.cluster import finalizer
from controller.cluster.client import CHALLENGES
from controller.cluster.errors import NotFound
from controller.reconcile import mounts, reading
from controller.reconcile.allowed import refused_image
from controller.reconcile.isolation import addable_capabilities
from controller.reconcile.result import DONE, Failed, Result, Waiting
from controller.reconcile.work import Work

CHALLENGE_RETRY = 60.0


async def admit(work: Work) -> Result:
    """Resolve the template, refuse what cannot be served, take the finalizer."""
    if work.status.template is None:
        try:
            await _resolve(work)
        except NotFound:
            ref = work.instance.spec.challenge_ref
            message = f"Challenge {ref.name if ref else ''!r} does not exist in this namespace"
            return Waiting(reasons.CHALLENGE_NOT_FOUND, message, CHALLENGE_RETRY)
    if refusal := _refusal(work):
        return refusal
    if not finalizer.held(work.read):
        work.take(await finalizer.add(work.services.cluster, work.read))
    return DONE


async def _resolve(work: Work) -> None:
    instance, challenge = work.instance, None
    if instance.spec.challenge_ref is not None:
        found = await work.services.cluster.get(
            CHALLENGES, instance.spec.challenge_ref.name, instance.metadata.namespace
        )
        challenge = reading.parse(Challenge, found)
    work.status.template = resolve(instance, challenge)
    work.status.policy = resolve_policy(instance, challenge)


def _refusal(work: Work) -> Failed | None:
    if impossible := mounts.impossible(work):
        return Failed(reasons.INVALID_TEMPLATE, impossible)
    # What runs already is left alone when the operator narrows the patterns down.
    patterns = work.services.settings.allowed_images
    if not work.containers and (refusal := refused_image(work.template, patterns)):
        return refusal
    allowed = addable_capabilities(work.services.settings)
    for container in work.template.containers:
        if refused := sorted(_added_capabilities(container) - allowed):
            message = (
                f"containers[{container.name}].securityContext.capabilities.add: "
                f"{', '.join(refused)} is not allowed here; allowed: "
                f"{', '.join(sorted(allowed)) or 'none'}"
            )
            return Failed(reasons.CAPABILITY_NOT_ALLOWED, message)
    return None


def _added_capabilities(container: Container) -> set[str]:
    return set(container.security_context.capabilities.add)
