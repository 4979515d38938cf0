"""From a template's container to what the engine is to be given: values looked up, defaults put in.

The one place that knows both the API's words and the runtime's. It makes nothing.
"""

from typing import Final

from controller.api.container import Container
from controller.api.env import EnvVar, EnvVarSource
from controller.api.template import port_key
from controller.api.values import parse_cpu, parse_memory
from controller.cluster import references
from controller.reconcile.work import Work
from controller.runtime.containers import ContainerPlan, PortBinding, Ulimit

ENV_PREFIX: Final = "CHALLENGE_"
NET_RAW: Final = "NET_RAW"


async def plans(work: Work) -> list[ContainerPlan]:
    """A plan for each container of the template, in its order.

    Raises references.ReferenceMissing for a Secret or ConfigMap that is not there, ApiError.
    """
    ports = {port.name: port.host_port for port in work.status.ports}
    return [
        _plan(work, container, await _environment(work, container), ports)
        for container in work.template.containers
    ]


def wants_net_raw(container: Container) -> bool:
    """Whether a container has NET_RAW, with which it could spoof its neighbours' addresses."""
    return NET_RAW in container.security_context.capabilities.add


def _plan(
    work: Work, container: Container, env: dict[str, str], ports: dict[str, int]
) -> ContainerPlan:
    settings, limits = work.services.settings, container.resources.limits
    security = container.security_context
    drop = set(security.capabilities.drop)
    if not wants_net_raw(container):
        drop.add(NET_RAW)
    return ContainerPlan(
        name=container.name,
        image=container.image,
        command=_tuple(container.command),
        args=_tuple(container.args),
        working_dir=container.working_dir,
        env=env,
        bindings=tuple(
            PortBinding(
                container_port=port.container_port,
                protocol=port.protocol.lower(),
                host_port=ports[port_key(container, port)],
                host_ip=settings.interface,
            )
            for port in container.ports
        ),
        cpu_nano=parse_cpu(limits.cpu or settings.default_cpu),
        memory=parse_memory(limits.memory or settings.default_memory),
        pids=limits.pids or settings.default_pids,
        ulimits=tuple(Ulimit(u.name, u.soft, u.hard) for u in container.ulimits),
        user=None if security.run_as_user is None else str(security.run_as_user),
        read_only=security.read_only_root_filesystem,
        cap_add=tuple(sorted(security.capabilities.add)),
        cap_drop=tuple(sorted(drop)),
        no_new_privileges=not security.allow_privilege_escalation,
        init=container.init,
        stop_timeout=work.template.termination_grace_period_seconds,
        dns=settings.resolvers if work.template.network.egress == "Internet" else None,
    )


def _tuple(words: list[str] | None) -> tuple[str, ...] | None:
    return None if words is None else tuple(words)


async def _environment(work: Work, container: Container) -> dict[str, str]:
    spec = work.instance.spec
    env = {variable.name: await _value(work, variable) for variable in container.env}
    env |= {f"{ENV_PREFIX}{variable.name}": variable.value for variable in spec.env}
    env[f"{ENV_PREFIX}USER_ID"] = spec.user or ""
    env[f"{ENV_PREFIX}SEED"] = spec.seed or ""
    return env


async def _value(work: Work, variable: EnvVar) -> str:
    if variable.value_from is None:
        return variable.value or ""
    return await _looked_up(work, variable.value_from)


async def _looked_up(work: Work, source: EnvVarSource) -> str:
    cluster, namespace = work.services.cluster, work.instance.metadata.namespace
    if secret := source.secret_key_ref:
        return await references.secret_value(cluster, namespace, secret.name, secret.key)
    if config := source.config_map_key_ref:
        return await references.config_map_value(cluster, namespace, config.name, config.key)
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
