"""Networks: bridges with explicit subnets, shared by instances or one for each.

Responsible for making, adopting and removing them. Which subnet is whose is the caller's book; what
packets may leave a network is the firewall's. It must not hold any state of its own.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import docker
from docker import types

from controller.runtime import endpoints, labels
from controller.runtime.engine import Engine
from controller.runtime.errors import (
    Conflict,
    EngineError,
    NetworkInUse,
    NotFound,
    SubnetTaken,
)
from controller.runtime.labels import Owner, bridge_name

_OPTION = "com.docker.network.bridge."
_AMBIGUOUS = "is ambiguous"
_ATTEMPTS = 3
# A container that is being removed leaves its network within some 300 ms.
_IN_USE_SECONDS = 10.0
_IN_USE_PAUSE = 0.2
_BRIDGE_NF = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")

BRIDGE_NF_MISSING = (
    "The kernel does not filter packets within a bridge, so instances that share one would reach "
    "each other: run `modprobe br_netfilter && sysctl -w net.bridge.bridge-nf-call-iptables=1` on "
    "the node, and see that no file in /etc/sysctl.d says 0"
)
"""What is told where `bridge_nf_enabled` does not hold, and what to do."""


@dataclass(frozen=True)
class NetworkState:
    """A network of ours; `subnet` is None of one that has none."""

    id: str
    name: str
    kind: str
    node: str
    egress: str
    subnet: IPv4Network | None
    labels: Mapping[str, str]


async def ensure_own_network(
    engine: Engine, owner: Owner, subnet: IPv4Network, *, egress: str = labels.EGRESS_NONE
) -> str:
    """A network for one instance's containers, which find each other by name; returns its name.

    The name tells the subnet; whose the subnet is, is the caller's book. One that is there is
    adopted if labels and subnet are these and no container of another instance is on it, else it is
    removed and made anew. Raises SubnetTaken, NetworkExhausted, EngineError, EngineUnavailable,
    OutcomeUnknown.
    """
    marks = {
        labels.INSTALLATION: owner.installation,
        labels.NODE: owner.node,
        labels.NETWORK_KIND: labels.KIND_INSTANCE,
        labels.NETWORK_EGRESS: egress,
    }
    name = labels.own_network_name(owner.installation, subnet, egress)
    return await _ensure(engine, name, subnet, marks, only=labels.name_prefix(owner.uid))


async def ensure_shared_network(
    engine: Engine,
    installation: str,
    node: str,
    index: int,
    subnet: IPv4Network,
    *,
    egress: str = labels.EGRESS_NONE,
) -> str:
    """A network for many instances of one container, none of which reaches another.

    They are kept apart by the bridge's own rules, which count only where `bridge_nf_enabled`.
    Returns its name. One that is there with another subnet or other labels, as under other
    settings, is SubnetTaken as long as a container is on it. Raises what `ensure_own_network`
    raises.
    """
    marks = {
        labels.INSTALLATION: installation,
        labels.NODE: node,
        labels.NETWORK_KIND: labels.KIND_SHARED,
        labels.NETWORK_INDEX: str(index),
        labels.NETWORK_EGRESS: egress,
    }
    name = labels.shared_network_name(installation, index, egress)
    return await _ensure(engine, name, subnet, marks)


async def remove_network(engine: Engine, name: str) -> None:
    """Remove every network of that name; done when there is none.

    Containers still connected are cut off, stale endpoints ended. Raises NetworkInUse (after 10 s),
    EngineError, EngineUnavailable, OutcomeUnknown.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _IN_USE_SECONDS
    while True:
        try:
            return await _remove(engine, name, name)
        except NotFound:
            return None
        except EngineError as error:
            in_use = isinstance(error, NetworkInUse)
            if not (in_use or _AMBIGUOUS in error.message) or loop.time() > deadline:
                raise
        for found in await _named(engine, name):
            await endpoints.cut_off(engine, name, found["Id"])
            await _remove_one_of(engine, name, found["Id"])
        if in_use:
            await asyncio.sleep(_IN_USE_PAUSE)


async def remove_unused(engine: Engine, name: str) -> bool:
    """Remove every network of that name unless a container is on it; whether all are gone.

    Raises EngineError, EngineUnavailable, OutcomeUnknown.
    """
    found = await _named(engine, name)
    return all([await _remove_unused_one(engine, name, each["Id"]) for each in found])


async def list_networks(
    engine: Engine, *, installation: str, node: str | None = None
) -> list[NetworkState]:
    """All networks of an installation, of that node. Raises EngineUnavailable."""
    wanted = [f"{labels.INSTALLATION}={installation}"]
    if node is not None:
        wanted.append(f"{labels.NODE}={node}")
    found = await engine.call(
        lambda client: client.networks(filters={"label": wanted}), effect=False
    )
    return [_state(each) for each in found]


async def all_subnets(engine: Engine) -> list[IPv4Network]:
    """The IPv4 subnets of all networks that the engine has, ours or not.

    Raises EngineUnavailable.
    """
    found = await engine.call(lambda client: client.networks(), effect=False)
    texts = [
        pool.get("Subnet") or ""
        for each in found
        for pool in (each.get("IPAM") or {}).get("Config") or []
    ]
    # A user's own may have host bits: the engine keeps what it was given.
    return [IPv4Network(text, strict=False) for text in texts if text and ":" not in text]


def bridge_nf_enabled() -> bool:
    """Whether the kernel has iptables judge packets between ports of one bridge."""
    return _bridge_nf() == "1"


def bridge_nf_disabled() -> bool:
    """Whether it was told not to: without the module br_netfilter it was told nothing yet."""
    return _bridge_nf() == "0"


def _bridge_nf() -> str:
    try:
        return _BRIDGE_NF.read_text().strip()
    except OSError:  # the module is not loaded; the engine does that when it needs it
        return ""


async def is_clean(engine: Engine, name: str) -> bool:
    """Whether the network is there with no container on it. Raises EngineUnavailable."""
    try:
        return not await endpoints.names(engine, name)
    except NotFound:
        return False


async def _ensure(
    engine: Engine,
    name: str,
    subnet: IPv4Network,
    marks: dict[str, str],
    *,
    only: str | None = None,
) -> str:
    """Make or adopt; with `only`, containers whose names begin otherwise must not be on it."""
    kind, egress = marks[labels.NETWORK_KIND], marks[labels.NETWORK_EGRESS]
    link = bridge_name(marks[labels.INSTALLATION], kind, egress, name)

    def make(client: docker.APIClient) -> None:
        client.create_network(
            name,
            driver="bridge",
            check_duplicate=True,
            labels=marks,
            ipam=types.IPAMConfig(pool_configs=[types.IPAMPool(subnet=str(subnet))]),
            options={
                _OPTION + "name": link,
                _OPTION + "enable_icc": str(kind == labels.KIND_INSTANCE).lower(),
                # Without, nothing outside can answer: packets bear an address that nobody routes.
                _OPTION + "enable_ip_masquerade": str(egress == labels.EGRESS_INTERNET).lower(),
            },
        )

    for _ in range(_ATTEMPTS):
        try:
            await engine.call(make, effect=True, name=name)
            return name
        except Conflict as refused:
            conflict = refused
        present = await _named(engine, name)
        if (
            len(present) == 1
            and _fits(_state(present[0]), subnet, marks)
            and not await _has_others(engine, name, only)
        ):
            return name
        if any(each["Labels"].get(labels.INSTALLATION) is None for each in present):
            raise conflict
        if kind == labels.KIND_SHARED and await _has_ends(engine, name):
            raise SubnetTaken(conflict.status, f"{conflict.message}; it is another one, in use")
        await remove_network(engine, name)
    raise conflict


async def _has_ends(engine: Engine, name: str) -> bool:
    try:
        return bool(await endpoints.names(engine, name))
    except NotFound:
        return False


async def _has_others(engine: Engine, name: str, only: str | None) -> bool:
    if only is None:
        return False
    try:
        return any(not end.startswith(only) for end in await endpoints.names(engine, name))
    except NotFound:
        return True


async def _named(engine: Engine, name: str) -> list[dict[str, Any]]:
    """Networks of exactly that name: the engine's filter finds parts, and it admits duplicates."""
    found = await engine.call(lambda client: client.networks(names=[name]), effect=False)
    return [each for each in found if each["Name"] == name]


async def _remove(engine: Engine, name: str, name_or_id: str) -> None:
    await engine.call(lambda client: client.remove_network(name_or_id), effect=True, name=name)


async def _remove_unused_one(engine: Engine, name: str, network_id: str) -> bool:
    if await _remove_one_of(engine, name, network_id):
        return True
    ended = await endpoints.end_stale(engine, name, network_id=network_id)
    return ended > 0 and await _remove_one_of(engine, name, network_id)


async def _remove_one_of(engine: Engine, name: str, network_id: str) -> bool:
    """Whether it is gone, and not in use."""
    try:
        await _remove(engine, name, network_id)
    except NotFound:
        return True
    except NetworkInUse:
        return False
    return True


def _fits(present: NetworkState, subnet: IPv4Network, marks: dict[str, str]) -> bool:
    same = all(present.labels.get(key) == value for key, value in marks.items())
    return same and present.subnet == subnet


def _state(found: dict[str, Any]) -> NetworkState:
    marks = found.get("Labels") or {}
    pools = (found.get("IPAM") or {}).get("Config") or [{}]
    subnet = pools[0].get("Subnet")
    return NetworkState(
        id=found["Id"],
        name=found["Name"],
        kind=marks.get(labels.NETWORK_KIND, ""),
        node=marks.get(labels.NODE, ""),
        egress=marks.get(labels.NETWORK_EGRESS, labels.EGRESS_NONE),
        subnet=IPv4Network(subnet, strict=False) if subnet else None,
        labels=marks,
    )
