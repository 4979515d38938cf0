"""Shared bridges: the next one when one is full, and none left when nobody needs one."""

import asyncio
import ipaddress
from typing import Any

import pytest

from controller.reconcile.bridges import ROOM, SharedBridges
from controller.runtime import containers, labels, networks
from controller.runtime.containers import ContainerState
from controller.runtime.engine import Engine
from controller.runtime.errors import NetworkExhausted, SubnetTaken
from controller.runtime.labels import EGRESS_INTERNET, EGRESS_NONE
from controller.settings import load
from tests.unit.reconcile.world import World

FIRST = labels.shared_network_name("default", 0)
SECOND = labels.shared_network_name("default", 1)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """The bridges that the engine was asked for: index and subnet."""
    asked: list[tuple[int, str]] = []

    async def ensure(
        _engine: Engine, installation: str, _node: str, index: int, subnet: Any, *, egress: str
    ) -> str:
        asked.append((index, str(subnet)))
        await asyncio.sleep(0)
        return labels.shared_network_name(installation, index, egress)

    monkeypatch.setattr(networks, "ensure_shared_network", ensure)
    return asked


def bridges(node: World, subnets: str = "10.212.0.0/18") -> SharedBridges:
    return SharedBridges(node.services.engine, load({"shared_subnets": subnets, "node_name": "n1"}))


async def fill(shared: SharedBridges, count: int, egress: str = EGRESS_NONE) -> list[str]:
    """Put instances of made-up uids on bridges; returns where each came."""
    return [await shared.place(f"{egress}-{number}", egress) for number in range(count)]


async def test_a_bridge_is_made_once_and_then_known(
    node: World, made: list[tuple[int, str]]
) -> None:
    shared = bridges(node)
    assert await fill(shared, 3) == [FIRST] * 3
    assert made == [(0, "10.212.0.0/22")]


async def test_the_next_bridge_is_made_before_one_is_full(
    node: World, made: list[tuple[int, str]]
) -> None:
    """The kernel gives a bridge 1,023 ports; the engine would fail a launch to say so."""
    shared = bridges(node)
    assert await fill(shared, ROOM + 1) == [FIRST] * ROOM + [SECOND]
    shared.discard("None-7")
    assert await shared.place("late", EGRESS_NONE) == FIRST


async def test_who_is_launched_again_is_counted_once(
    node: World, made: list[tuple[int, str]]
) -> None:
    shared = bridges(node)
    assert {await shared.place("same", EGRESS_NONE) for _ in range(ROOM + 1)} == {FIRST}


async def test_those_that_an_earlier_process_has_placed_are_counted(
    node: World, made: list[tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def listing(*_: Any, **__: Any) -> list[ContainerState]:
        return [
            ContainerState(f"id{n}", f"c{n}", "web", f"uid{n}", "", "running", "", network=FIRST)
            for n in range(ROOM)
        ]

    monkeypatch.setattr(containers, "list_containers", listing)
    assert await bridges(node).place("new", EGRESS_NONE) == SECOND


async def test_instances_with_egress_have_bridges_apart(
    node: World, made: list[tuple[int, str]]
) -> None:
    shared = bridges(node)
    without, internet = await fill(shared, 1), await fill(shared, 1, EGRESS_INTERNET)
    assert set(without).isdisjoint(internet)
    assert made == [(0, "10.212.0.0/22"), (0, "10.212.60.0/22")]


async def test_bridges_have_subnets_apart_and_within_the_range(
    node: World, made: list[tuple[int, str]]
) -> None:
    shared = bridges(node)
    for _ in range(16):
        shared.full(await shared.place("a", EGRESS_NONE))
    with pytest.raises(NetworkExhausted, match=r"all shared bridges of 10\.212\.0\.0/18 are full"):
        await shared.place("a", EGRESS_NONE)
    subnets = [ipaddress.IPv4Network(subnet) for _, subnet in made]
    assert len(set(subnets)) == 16
    assert all(s.subnet_of(ipaddress.IPv4Network("10.212.0.0/18")) for s in subnets)


async def test_a_bridge_found_full_is_left_out_until_somebody_leaves_it(
    node: World, made: list[tuple[int, str]]
) -> None:
    shared = bridges(node)
    assert await fill(shared, 2) == [FIRST] * 2
    shared.full(FIRST)
    assert await shared.place("None-0", EGRESS_NONE) == SECOND
    shared.discard("None-1")
    assert await shared.place("new", EGRESS_NONE) == FIRST


async def test_a_subnet_that_somebody_else_has_is_stepped_over(
    node: World, made: list[tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ensure(*args: Any, **_: Any) -> str:
        if args[3] == 0:
            raise SubnetTaken(403, "Pool overlaps with other one on this address space")
        return ""

    monkeypatch.setattr(networks, "ensure_shared_network", ensure)
    assert await fill(bridges(node), 2) == [SECOND] * 2


async def test_launches_at_once_make_one_bridge(node: World, made: list[tuple[int, str]]) -> None:
    shared = bridges(node)
    found = await asyncio.gather(*(shared.place(uid, EGRESS_NONE) for uid in "abc"))
    assert set(found) == {FIRST}
    assert len(made) == 1


async def test_after_all_were_full_the_first_is_tried_again(
    node: World, made: list[tuple[int, str]]
) -> None:
    """Instances end meanwhile; a node must not stay full for ever."""
    shared = bridges(node, "10.212.0.0/22")
    shared.full(await shared.place("a", EGRESS_NONE))
    with pytest.raises(NetworkExhausted):
        await shared.place("a", EGRESS_NONE)
    assert await shared.place("a", EGRESS_NONE) == FIRST


async def test_a_bridge_that_is_gone_is_made_anew(node: World, made: list[tuple[int, str]]) -> None:
    shared = bridges(node)
    await shared.place("a", EGRESS_NONE)
    shared.forget()
    await shared.place("a", EGRESS_NONE)
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
