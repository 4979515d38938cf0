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
        challenge = Challenge.model_validate(found)
    work.status.template = resolve(instance, challenge)
    work.status.policy = resolve_policy(instance, challenge)


def _refusal(work: Work) -> Failed | None:
    if unserved := unserved_fields(work):
        message = f"This version does not serve {', '.join(unserved)}; leave it out"
        return Failed(reasons.UNSUPPORTED, message)
    allowed = set(work.services.settings.allowed_capabilities)
    for container in work.template.containers:
        if refused := sorted(_added_capabilities(container) - allowed):
            message = (
                f"containers[{container.name}].securityContext.capabilities.add: "
                f"{', '.join(refused)} is not allowed here; allowed: "
                f"{', '.join(sorted(allowed)) or 'none'}"
            )
            return Failed(reasons.CAPABILITY_NOT_ALLOWED, message)
    return None


def unserved_fields(work: Work) -> list[str]:
    """Fields that the API knows and this version of the agent cannot serve yet.

    Refused rather than ignored: a challenge that runs without what its author asked for is worse
    than one that says why it does not run.
    """
    template, spec = work.template, work.instance.spec
    asked = {
        "spec.flagSecretRef": spec.flag_secret_ref,
        "template.volumes": template.volumes,
        "template.imagePullSecrets": template.image_pull_secrets,
    }
    found = [name for name, value in asked.items() if value]
    for container in template.containers:
        found += _unserved_in(container)
    return found


def _unserved_in(container: Container) -> list[str]:
    limits, security = container.resources.limits, container.security_context
    profile = security.seccomp_profile.type if security.seccomp_profile else "RuntimeDefault"
    asked = {
        "resources.limits.ephemeral-storage": limits.ephemeral_storage,
        "securityContext.seccompProfile": profile != "RuntimeDefault",
        "cgroupParent": container.cgroup_parent,
        "mountFlag": container.mount_flag,
    }
    return [f"containers[{container.name}].{name}" for name, value in asked.items() if value]


def _added_capabilities(container: Container) -> set[str]:
    return set(container.security_context.capabilities.add)
