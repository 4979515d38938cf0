"""What a container is to be, in plain values, and the same in the engine's terms.

Responsible for the plan's types and for mapping every option onto the engine's configuration. It
must not call the engine, and must not know where a value came from: defaults that protect a node
(memory, pids, dropped capabilities) are put into the plan by the caller.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from docker import types
from docker.types.healthcheck import Healthcheck

from controller.runtime.labels import STORAGE_LIMIT, Owner

DEFAULT_STOP_SECONDS = 10
# Two files, so that the last lines survive the rotation.
DEFAULT_LOG_OPTIONS: Mapping[str, str] = {"max-size": "2m", "max-file": "2"}

# The container's own loopback, where nothing answers. Without any the engine takes its host's, and
# asks them itself where those are on the host's loopback: no rule for containers sees that. It
# leaves a question that nobody answers open, so the asking program must not wait for long.
_NO_RESOLVER = ("127.0.0.1",)
_GIVE_UP_SOON = ("timeout:1", "attempts:1")


@dataclass(frozen=True)
class PortBinding:
    """A host's port (1-65535, on one IP address of the host) for a container's port."""

    container_port: int
    protocol: str
    host_port: int
    host_ip: str


@dataclass(frozen=True)
class Ulimit:
    """A limit of setrlimit(2) by its name without `RLIMIT_`, in lower case; -1 is unlimited."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True)
class Mount:
    """A bind mount of a host's path (which must exist) or a named volume, at `target`.

    A volume that is not there is made with the first container that mounts it: by the engine's
    driver `local` with these `options`, and with these `labels`. Never does it get the files that
    the image has at `target`.
    """

    kind: Literal["bind", "volume"]
    source: str
    target: str
    read_only: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ContainerPlan:
    """One container. `name` is its DNS alias and, unless `hostname` says otherwise, its hostname.

    `command` takes the place of the image's ENTRYPOINT and CMD, `args` of its CMD (None: as the
    image has them). `cpu_nano` is in 10^-9 CPUs, `memory` in bytes (no swap beside it), `pids` a
    number of tasks; None is no limit. `tmpfs` maps paths to mount options. `seccomp` is a profile
    as JSON text, None the engine's default. `cgroup_parent` is a path below the cgroup root, or a
    slice. `storage_limit` is how many bytes it may write: with `storage_quota` the storage driver
    holds it to that, without it is only noted for `usage`. `stop_timeout` is in seconds. `dns` are
    the resolvers for names of other machines; None is that these have no answer.
    """

    name: str
    image: str
    command: tuple[str, ...] | None = None
    args: tuple[str, ...] | None = None
    working_dir: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    bindings: tuple[PortBinding, ...] = ()
    exposed: tuple[tuple[int, str], ...] = ()
    hostname: str | None = None
    cpu_nano: int | None = None
    memory: int | None = None
    pids: int | None = None
    ulimits: tuple[Ulimit, ...] = ()
    user: str | None = None
    read_only: bool = False
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    no_new_privileges: bool = True
    seccomp: str | None = None
    init: bool = False
    cgroup_parent: str | None = None
    storage_limit: int | None = None
    storage_quota: bool = False
    stop_timeout: int = DEFAULT_STOP_SECONDS
    log_driver: str = "json-file"
    log_options: Mapping[str, str] = field(default_factory=lambda: DEFAULT_LOG_OPTIONS)
    dns: tuple[str, ...] | None = None


def configuration(
    version: str, owner: Owner, plan: ContainerPlan, network: str, aliases: tuple[str, ...]
) -> types.ContainerConfig:
    """The body of the engine's create call, in the API's `version` ("1.41")."""
    endpoint = types.EndpointConfig(version, aliases=list(aliases))
    ports = {(binding.container_port, binding.protocol) for binding in plan.bindings}
    return types.ContainerConfig(
        version,
        plan.image,
        list(plan.args or ()),
        entrypoint=list(plan.command) if plan.command else None,
        hostname=plan.hostname or plan.name,
        user=plan.user,
        detach=True,
        ports=sorted(ports.union(plan.exposed)),
        environment=dict(plan.env),
        working_dir=plan.working_dir,
        labels=owner.labels(plan.name) | _noted_limit(plan),
        host_config=host_config(version, plan, network),
        # The stubs take the mapping of names to endpoints for one endpoint.
        networking_config=types.NetworkingConfig({network: endpoint}),  # type: ignore[arg-type]
        # As in a Pod: the template's probes count, not the image's HEALTHCHECK, which would also
        # cost the engine an exec each time.
        healthcheck=Healthcheck(test=["NONE"]),
        stop_timeout=plan.stop_timeout,
    )


def host_config(version: str, plan: ContainerPlan, network: str) -> types.HostConfig:
    """The part of the configuration that is about the host: limits, rights, mounts, ports."""
    return types.HostConfig(
        version,
        network_mode=network,
        port_bindings=_port_bindings(plan.bindings),
        dns=list(plan.dns or _NO_RESOLVER),
        dns_opt=None if plan.dns else list(_GIVE_UP_SOON),
        # The agent counts restarts and decides on them.
        restart_policy={"Name": "no"},
        nano_cpus=plan.cpu_nano,
        mem_limit=plan.memory,
        memswap_limit=plan.memory,
        pids_limit=plan.pids,
        cgroup_parent=plan.cgroup_parent,
        storage_opt=(
            {"size": str(plan.storage_limit)} if plan.storage_limit and plan.storage_quota else None
        ),
        ulimits=_ulimits(plan.ulimits),
        cap_add=list(plan.cap_add) or None,
        cap_drop=list(plan.cap_drop) or None,
        security_opt=_security_options(plan),
        read_only=plan.read_only,
        tmpfs=dict(plan.tmpfs) or None,
        mounts=[_mount(mount) for mount in plan.mounts],
        init=plan.init,
        log_config=types.LogConfig(type=plan.log_driver, config=dict(plan.log_options)),
    )


def _mount(mount: Mount) -> types.Mount:
    if mount.kind == "bind":
        return types.Mount(mount.target, mount.source, "bind", mount.read_only)
    return types.Mount(
        mount.target,
        mount.source,
        "volume",
        mount.read_only,
        no_copy=True,
        labels=dict(mount.labels),
        driver_config=types.DriverConfig("local", dict(mount.options)),
    )


def _port_bindings(bindings: tuple[PortBinding, ...]) -> dict[int | str, Any]:
    bound: dict[int | str, list[tuple[str, int]]] = {}
    for binding in bindings:
        key = f"{binding.container_port}/{binding.protocol}"
        bound.setdefault(key, []).append((binding.host_ip, binding.host_port))
    return dict(bound)


def _ulimits(ulimits: tuple[Ulimit, ...]) -> list[types.Ulimit]:
    # A core dump lands in the writable layer, as large as the process was.
    limits = {"core": Ulimit("core", 0, 0)} | {limit.name: limit for limit in ulimits}
    return [
        types.Ulimit(name=limit.name, soft=limit.soft, hard=limit.hard) for limit in limits.values()
    ]


def _noted_limit(plan: ContainerPlan) -> dict[str, str]:
    if plan.storage_limit is None or plan.storage_quota:
        return {}
    return {STORAGE_LIMIT: str(plan.storage_limit)}


def _security_options(plan: ContainerPlan) -> list[str]:
    options = []
    if plan.no_new_privileges:
        options.append("no-new-privileges:true")
    if plan.seccomp is not None:
        options.append(f"seccomp={plan.seccomp}")
    return options
