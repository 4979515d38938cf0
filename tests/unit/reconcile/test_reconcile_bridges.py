"""Shared bridges: the next one when one is full, and none left when nobody needs one."""

import asyncio
import ipaddress
from typing import Any

import pytest

from controller.reconcile.bridges import SharedBridges
from controller.runtime import labels, networks
from controller.runtime.engine import Engine
from controller.runtime.errors import NetworkExhausted
from controller.settings import load
from tests.unit.reconcile.world import World

FIRST = labels.shared_network_name("default", 0)
SECOND = labels.shared_network_name("default", 1)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """The bridges that the engine was asked for: index and subnet."""
    asked: list[tuple[int, str]] = []

    async def ensure(
        _engine: Engine, installation: str, _node: str, index: int, subnet: Any
    ) -> str:
        asked.append((index, str(subnet)))
        await asyncio.sleep(0)
        return labels.shared_network_name(installation, index)

    monkeypatch.setattr(networks, "ensure_shared_network", ensure)
    return asked


def bridges(node: World, subnets: str = "10.212.0.0/18") -> SharedBridges:
    return SharedBridges(node.services.engine, load({"shared_subnets": subnets, "node_name": "n1"}))


async def test_a_bridge_is_made_once_and_then_known(
    node: World, made: list[tuple[int, str]]
) -> None:
    shared = bridges(node)
    assert [await shared.current() for _ in range(3)] == [FIRST] * 3
    assert made == [(0, "10.212.0.0/22")]


async def test_bridges_have_subnets_apart_and_within_the_range(
    node: World, made: list[tuple[int, str]]
) -> None:
    shared = bridges(node)
    for _ in range(16):
        shared.full(await shared.current())
    with pytest.raises(NetworkExhausted, match=r"all shared bridges of 10\.212\.0\.0/18 are full"):
        await shared.current()
    subnets = [ipaddress.IPv4Network(subnet) for _, subnet in made]
    assert len(set(subnets)) == 16
    assert all(s.subnet_of(ipaddress.IPv4Network("10.212.0.0/18")) for s in subnets)


async def test_two_launches_that_find_the_same_bridge_full_go_on_with_the_same_next(
    node: World, made: list[tuple[int, str]]
) -> None:
    """Otherwise a bridge of 1,021 places is stepped over for each that was there at the time."""
    shared = bridges(node)
    found = await asyncio.gather(shared.current(), shared.current())
    for name in found:
        shared.full(name)
    assert await shared.current() == SECOND


async def test_after_all_were_full_the_first_is_tried_again(
    node: World, made: list[tuple[int, str]]
) -> None:
    """Instances end meanwhile; a node must not stay full for ever."""
    shared = bridges(node, "10.212.0.0/22")
    shared.full(await shared.current())
    with pytest.raises(NetworkExhausted):
        await shared.current()
    assert await shared.current() == FIRST


async def test_a_bridge_that_is_gone_is_made_anew(node: World, made: list[tuple[int, str]]) -> None:
    shared = bridges(node)
    await shared.current()
    shared.forget()
    await shared.current()
    assert [index for index, _ in made] == [0, 0]


def shared_network(node: World, index: int) -> str:
    name = labels.shared_network_name("default", index)
    node.engine.networks[name] = {
        labels.INSTALLATION: "default",
        labels.NODE: "n1",
        labels.NETWORK_KIND: labels.KIND_SHARED,
    }
    return name


async def test_tidying_removes_every_bridge_also_those_of_an_earlier_process(node: World) -> None:
    shared_network(node, 0)
    shared_network(node, 3)
    node.engine.networks["chal-somebody"] = {labels.NETWORK_KIND: labels.KIND_INSTANCE}
    await bridges(node).tidy()
    assert list(node.engine.networks) == ["chal-somebody"]


async def test_a_bridge_with_a_container_on_it_stays(node: World) -> None:
    busy = shared_network(node, 0)
    shared_network(node, 1)
    node.engine.busy_networks = {busy}
    await bridges(node).tidy()
    assert list(node.engine.networks) == [busy]


async def test_nothing_is_tidied_while_a_container_is_put_on_a_bridge(node: World) -> None:
    shared = bridges(node)
    name = shared_network(node, 0)
    async with shared.in_use(), shared.in_use():
        await shared.tidy()
    assert list(node.engine.networks) == [name]
    with pytest.raises(LookupError):
        async with shared.in_use():
            raise LookupError
    await shared.tidy()
    assert node.engine.networks == {}


async def test_a_launch_waits_while_bridges_are_tidied(
    node: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = bridges(node)
    removing, go_on = asyncio.Event(), asyncio.Event()

    async def listing(*_: Any, **__: Any) -> list[networks.NetworkState]:
        removing.set()
        await go_on.wait()
        return []

    monkeypatch.setattr(networks, "list_networks", listing)
    entered: list[str] = []

    async def launch() -> None:
        async with shared.in_use():
            entered.append("in use")

    tidying = asyncio.create_task(shared.tidy())
    await removing.wait()
    launching = asyncio.create_task(launch())
    await asyncio.sleep(0)
    assert entered == []
    go_on.set()
    await asyncio.gather(tidying, launching)
    assert entered == ["in use"]
