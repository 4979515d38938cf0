"""From a template's container to what the engine is to be given: values looked up, defaults put in.

The one place that knows both the API's words and the runtime's. It makes nothing.
"""

from typing import Final

from controller.api import image_reference
from controller.api.container import Container
from controller.api.env import EnvVar, EnvVarSource
from controller.api.template import port_key
from controller.reconcile import identity, lookup, mounts
from controller.reconcile.isolation import isolated
from controller.reconcile.work import Work
from controller.runtime.containers import ContainerPlan, PortBinding

ENV_PREFIX: Final = "CHALLENGE_"
CMGR_PREFIX: Final = "CMGR_"
"""Under which cmgr gives the user, if there is one, and the environment of a start request."""


async def plans(work: Work) -> list[ContainerPlan]:
    """A plan for each container of the template, in its order.

    Raises references.ReferenceMissing for a Secret or ConfigMap that is not there, ProfileError for
    a seccomp profile that cannot be had, ApiError.
    """
    ports = {port.name: port.host_port for port in work.status.ports}
    return [
        isolated(
            work.services,
            container,
            _plan(work, container, await _environment(work, container), ports),
        )
        for container in work.template.containers
    ]


def _plan(
    work: Work, container: Container, env: dict[str, str], ports: dict[str, int]
) -> ContainerPlan:
    return ContainerPlan(
        name=container.name,
        image=str(image_reference.parse(container.image)),
        command=_tuple(container.command),
        args=_tuple(container.args),
        working_dir=container.working_dir,
        env=env,
        bindings=tuple(
            PortBinding(
                container_port=port.container_port,
                protocol=port.protocol.lower(),
                host_port=ports[port_key(container, port)],
                host_ip=work.services.settings.interface,
            )
            for port in container.ports
        ),
        init=container.init,
        mounts=mounts.mounts(work, container),
        stop_timeout=work.template.termination_grace_period_seconds,
        dns=work.services.settings.resolvers
        if work.template.network.egress == "Internet"
        else None,
    )


def _tuple(words: list[str] | None) -> tuple[str, ...] | None:
    return None if words is None else tuple(words)


async def _environment(work: Work, container: Container) -> dict[str, str]:
    spec = work.instance.spec
    env = {variable.name: await _value(work, variable) for variable in container.env}
    env |= await identity.environment(work, container)
    env |= {f"{ENV_PREFIX}{variable.name}": variable.value for variable in spec.env}
    env[f"{ENV_PREFIX}USER_ID"] = spec.user or ""
    env[f"{ENV_PREFIX}SEED"] = spec.seed or ""
    if work.services.settings.cmgr_env:
        env |= {f"{CMGR_PREFIX}{variable.name}": variable.value for variable in spec.env}
        env |= {f"{CMGR_PREFIX}USER_ID": spec.user} if spec.user else {}
    return env


async def _value(work: Work, variable: EnvVar) -> str:
    if variable.value_from is None:
        return variable.value or ""
    return await _looked_up(work, variable.value_from)


async def _looked_up(work: Work, source: EnvVarSource) -> str:
    if secret := source.secret_key_ref:
        return await lookup.secret_variable(work, secret.name, secret.key)
    if config := source.config_map_key_ref:
        return await lookup.config_map_variable(work, config.name, config.key)
    return _field(work, source.field_ref.field_path if source.field_ref else "")


def _field(work: Work, path: str) -> str:
    meta, spec = work.instance.metadata, work.instance.spec
    fields = {
        "metadata.name": meta.name,
        "metadata.namespace": meta.namespace,
        "metadata.uid": meta.uid,
        "spec.user": spec.user,
        "spec.seed": spec.seed,
        "spec.nodeName": work.status.node_name,
    }
    return fields[path] or ""
