"""What a container may do and use: the template's options, the operator's where it says nothing.

Responsible for rights, limits and the node's protection in a plan. It must not look values up or
make anything; which containers share a network is the business of `attach`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

from controller.api.container import Container
from controller.api.security import SeccompProfile
from controller.api.values import parse_cpu, parse_memory
from controller.container_settings import NET_RAW as NET_RAW
from controller.container_settings import ContainerSettings
from controller.reconcile.services import Services
from controller.runtime.containers import ContainerPlan, Ulimit

ENGINE_CAPABILITIES: Final = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
        *("NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
"""What the engine gives a container that asks for nothing (Docker's documentation of `run`)."""
QUOTA_DRIVERS: Final = frozenset({"overlay2", "zfs"})
"""Storage drivers whose option `size` is about what a container writes; they refuse it where they
cannot hold it. Those of btrfs and vfs count the image too, and containerd's snapshotters none."""
WRITABLE: Final = ("/tmp", "/var/tmp", "/run")
"""Where programs expect to be able to write, whatever else is read-only."""


def isolated(services: Services, container: Container, plan: ContainerPlan) -> ContainerPlan:
    """The plan with the container's limits and rights in it.

    Raises ProfileError for a seccomp profile that cannot be had.
    """
    settings, limits = services.settings, container.resources.limits
    security = container.security_context
    escalation = security.allow_privilege_escalation
    if escalation is None:
        escalation = settings.default_privilege_escalation
    add, drop = capabilities(settings, container)
    storage = limits.ephemeral_storage or settings.default_ephemeral_storage
    return replace(
        plan,
        cpu_nano=parse_cpu(limits.cpu or settings.default_cpu),
        memory=parse_memory(limits.memory or settings.default_memory),
        pids=limits.pids or settings.default_pids,
        ulimits=_ulimits(settings, container),
        user=None if security.run_as_user is None else str(security.run_as_user),
        read_only=security.read_only_root_filesystem,
        tmpfs={**_writable(settings, container), **plan.tmpfs},
        cap_add=add,
        cap_drop=drop,
        no_new_privileges=not escalation,
        seccomp=_seccomp(services, security.seccomp_profile),
        cgroup_parent=cgroup_parent(services, container.cgroup_parent),
        storage_limit=parse_memory(storage) if storage else None,
        storage_quota=services.storage.has_quotas and _driver(services) in QUOTA_DRIVERS,
        log_options=_log_options(settings),
    )


def wants_net_raw(container: Container) -> bool:
    """Whether a container has NET_RAW, with which it could spoof its neighbours' addresses."""
    return NET_RAW in container.security_context.capabilities.add


def capabilities(
    settings: ContainerSettings, container: Container
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which capabilities are added to the engine's own set, and which are taken away."""
    wanted = container.security_context.capabilities
    drop = set(wanted.drop) | (set(settings.dropped_capabilities) - set(wanted.add))
    return tuple(sorted(wanted.add)), tuple(sorted(drop))


def addable_capabilities(settings: ContainerSettings) -> frozenset[str]:
    """What a template may add: what the operator allows, and what it would have anyway.

    The latter for those that drop ALL and take back what they need.
    """
    anyway = ENGINE_CAPABILITIES - set(settings.dropped_capabilities)
    return anyway.union(settings.allowed_capabilities)


def _ulimits(settings: ContainerSettings, container: Container) -> tuple[Ulimit, ...]:
    core = parse_memory(settings.default_core)
    asked = [Ulimit(limit.name, limit.soft, limit.hard) for limit in container.ulimits]
    if any(limit.name == "core" for limit in asked):
        return tuple(asked)
    return (*asked, Ulimit("core", core, core))


def _writable(settings: ContainerSettings, container: Container) -> dict[str, str]:
    """Small file systems in memory, which counts as the container's; a volume goes before."""
    if not container.security_context.read_only_root_filesystem:
        return {}
    mounted = {mount.mount_path for mount in container.volume_mounts}
    options = f"rw,nosuid,nodev,exec,mode=1777,size={parse_memory(settings.tmpfs_size)}"
    return {path: options for path in WRITABLE if path not in mounted}


def _seccomp(services: Services, wanted: SeccompProfile | None) -> str | None:
    """A profile's text, or None for the engine's own."""
    settings, profiles = services.settings, services.profiles
    if wanted is None:
        kind, _, name = settings.default_seccomp.partition("/")
    else:
        kind, name = wanted.type, wanted.localhost_profile or ""
    if kind == "RuntimeDefault":
        return None
    if kind == "ChallengeDefault":
        return profiles.challenge_default()
    return profiles.localhost(Path(settings.seccomp_dir), name)


def cgroup_parent(services: Services, name: str | None) -> str | None:
    """The cgroup for a container: the controller's own, or one of that name below it.

    With the systemd driver a slice, whose name has those of the slices above it, parted by dashes
    (systemd.slice(5)); a dash of a name's own would be one too, and two running are refused.
    """
    driver = services.engine_info.cgroup_driver if services.engine_info else "cgroupfs"
    if driver == "none":
        return None  # a rootless engine on cgroup v1, which has none to give
    parts = services.settings.cgroup_parent.strip("/").split("/")
    if driver != "systemd":
        return "/" + "/".join([*parts, *([name] if name else [])])
    parts[-1] = parts[-1].removesuffix(".slice")
    child = [name.replace("-", "_")] if name else []
    return "-".join([*parts, *child]) + ".slice"


def _driver(services: Services) -> str:
    return services.engine_info.storage_driver if services.engine_info else ""


def _log_options(settings: ContainerSettings) -> dict[str, str]:
    return {
        "max-size": str(parse_memory(settings.log_max_size)),
        "max-file": str(settings.log_max_files),
    }
