"""Pure functions on templates: which one an instance has, its ports, its hash.

Must not look anything up: Challenge and instance are handed in, references stay references.
"""

import hashlib
import json

from controller.api.challenge import Challenge, Policy, TemplateSpec
from controller.api.container import Container, ContainerPort
from controller.api.instance import ChallengeInstance


def resolve(instance: ChallengeInstance, challenge: Challenge | None) -> TemplateSpec:
    """Return the template that an instance is to be launched from.

    That is its inline template, or else the Challenge's. Raises LookupError when it needs a
    Challenge and there is none.
    """
    if instance.spec.template is not None:
        return instance.spec.template
    return _challenge(instance, challenge).spec.template


def resolve_policy(instance: ChallengeInstance, challenge: Challenge | None) -> Policy:
    """Return the policy for an instance: the Challenge's, or none for an inline template.

    Raises LookupError when it needs a Challenge and there is none.
    """
    if instance.spec.template is not None:
        return Policy()
    spec = _challenge(instance, challenge).spec
    return Policy(
        ttl=spec.ttl, max_lifetime=spec.max_lifetime, node_loss_policy=spec.node_loss_policy
    )


def _challenge(instance: ChallengeInstance, challenge: Challenge | None) -> Challenge:
    if challenge is None:
        reference = instance.spec.challenge_ref
        name = reference.name if reference else ""
        raise LookupError(f"there is no Challenge {instance.metadata.namespace}/{name}")
    return challenge


def port_key(container: Container, port: ContainerPort) -> str:
    """Return what a port is called in status and ledger: its name, or `web-80-tcp`."""
    return port.name or f"{container.name}-{port.container_port}-{port.protocol.lower()}"


def published_ports(template: TemplateSpec) -> list[tuple[str, Container, ContainerPort]]:
    """Return every port that players reach with its key, in the template's order.

    The keys are unique: the API server refuses two ports of one name, and a name in the form of a
    port without one.
    """
    return [(port_key(c, p), c, p) for c in template.containers for p in c.ports]


def probe_port(container: Container, port: int | str) -> int:
    """Return the number of a port that a probe names by number or by name.

    Raises ValueError when the container has no port of that name, which the API server refuses.
    """
    if isinstance(port, int):
        return port
    for candidate in container.ports:
        if candidate.name == port:
            return candidate.container_port
    raise ValueError(f"container {container.name}: expected the name of one of its ports: {port!r}")


def template_hash(template: TemplateSpec) -> str:
    """Return 16 hexadecimal digits that are equal for equal templates.

    Fields that have their default are left out, so that a version of the API with more fields
    gives the same digits for a template that does not use them.
    """
    fields = template.model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude_defaults=True
    )
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
