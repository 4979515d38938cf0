"""What a container is, as the engine tells it.

Responsible for reading the engine's two shapes of a container (an item of a list, an inspection)
into one type. It must not call the engine.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from controller.runtime import labels
from controller.runtime.plan import PortBinding

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What the engine writes for "never" (Go's zero time).
_NEVER = "0001-01-01"


@dataclass(frozen=True)
class ContainerState:
    """A container of ours.

    `name` is the engine's, `container` the one in the template. `state` is one of created, running,
    paused, exited, restarting, removing, dead. `network` is the one it was made on. `addresses`
    maps networks to IPv4 addresses, of a running container only. `bindings` are, from a list, those
    of a running container; from an inspection, those that it was created with.

    The rest is known after an inspection only: `exit_code` of one that has ended, times in ms UTC,
    `error` in the engine's words when a start failed, `stop_timeout` (seconds that its process has
    to end when asked to) where one was given.
    """

    id: str
    name: str
    container: str
    uid: str
    template_hash: str
    state: str
    image_id: str
    network: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)
    bindings: tuple[PortBinding, ...] = ()
    exit_code: int | None = None
    oom_killed: bool | None = None
    started_at: int | None = None
    finished_at: int | None = None
    error: str = ""
    stop_timeout: int | None = None

    @property
    def running(self) -> bool:
        """Whether its process exists and is not frozen."""
        return self.state == "running"

    @property
    def is_cut_off(self) -> bool:
        """Whether its process exists, and somebody has taken its network from it."""
        alive = self.state in ("running", "paused")
        return alive and bool(self.network) and self.network not in self.addresses


def listed(item: dict[str, Any]) -> ContainerState:
    """A container as the engine's list has it."""
    marks = item.get("Labels") or {}
    networks = (item.get("NetworkSettings") or {}).get("Networks") or {}
    return ContainerState(
        id=item["Id"],
        name=(item.get("Names") or [""])[0].lstrip("/"),
        container=marks.get(labels.CONTAINER, ""),
        uid=marks.get(labels.INSTANCE_UID, ""),
        template_hash=marks.get(labels.TEMPLATE_HASH, ""),
        state=item.get("State", ""),
        image_id=item.get("ImageID", ""),
        network=(item.get("HostConfig") or {}).get("NetworkMode", ""),
        labels=marks,
        addresses=_addresses(networks),
        bindings=_distinct(
            PortBinding(port["PrivatePort"], port["Type"], port["PublicPort"], port.get("IP", ""))
            for port in item.get("Ports") or ()
            if port.get("PublicPort")
        ),
    )


def inspected(found: dict[str, Any]) -> ContainerState:
    """A container as the engine's inspection has it."""
    marks = found["Config"].get("Labels") or {}
    state = found["State"]
    networks = (found.get("NetworkSettings") or {}).get("Networks") or {}
    ended = state["Status"] in ("exited", "dead")
    return ContainerState(
        id=found["Id"],
        name=found["Name"].lstrip("/"),
        container=marks.get(labels.CONTAINER, ""),
        uid=marks.get(labels.INSTANCE_UID, ""),
        template_hash=marks.get(labels.TEMPLATE_HASH, ""),
        state=state["Status"],
        image_id=found.get("Image", ""),
        network=found["HostConfig"].get("NetworkMode", ""),
        labels=marks,
        addresses=_addresses(networks),
        bindings=_created_with(found["HostConfig"].get("PortBindings") or {}),
        exit_code=int(state.get("ExitCode", 0)) if ended else None,
        oom_killed=bool(state.get("OOMKilled", False)),
        started_at=milliseconds(state.get("StartedAt", "")),
        finished_at=milliseconds(state.get("FinishedAt", "")),
        error=state.get("Error", ""),
        stop_timeout=found["Config"].get("StopTimeout"),
    )


def milliseconds(moment: str) -> int | None:
    """RFC 3339, with up to nine digits of a second, as ms UTC; None for the engine's "never"."""
    if not moment or moment.startswith(_NEVER):
        return None
    parsed = datetime.fromisoformat(moment)  # digits beyond microseconds are cut off
    return (parsed - _EPOCH) // timedelta(milliseconds=1)


def _addresses(networks: dict[str, Any]) -> dict[str, str]:
    return {name: at["IPAddress"] for name, at in networks.items() if at.get("IPAddress")}


def _created_with(bound: dict[str, Any]) -> tuple[PortBinding, ...]:
    return _distinct(
        PortBinding(int(key.partition("/")[0]), key.partition("/")[2], int(at["HostPort"]), ip)
        for key, hosts in bound.items()
        for at in hosts or ()
        for ip in [at.get("HostIp", "")]
        if at.get("HostPort")
    )


def _distinct(bindings: Iterable[PortBinding]) -> tuple[PortBinding, ...]:
    return tuple(
        sorted(set(bindings), key=lambda each: (each.container_port, each.protocol, each.host_port))
    )
