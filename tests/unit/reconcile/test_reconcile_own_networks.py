"""Networks of one instance each: kept clean for the next one, never shared, never left."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from controller.ledger import Ledger, SubnetsExhausted
from controller.reconcile.ownnetworks import PREFIX, OwnNetworks, owners
from controller.runtime import labels, networks
from controller.runtime.engine import Engine
from controller.runtime.errors import EngineError, NetworkInUse, SubnetTaken
from controller.runtime.labels import EGRESS_INTERNET, EGRESS_NONE, Owner
from controller.runtime.networks import NetworkState
from controller.settings import load

SETTINGS = load(
    {"node_name": "n1", "instance_subnets": "10.99.0.0/25", "shared_subnets": "10.98.0.0/22"}
    | {"spare_networks": 2}
)
EGRESS = (EGRESS_NONE, EGRESS_INTERNET)


def owner(uid: str) -> Owner:
    return Owner(SETTINGS.installation, "n1", uid, "ns", uid, "hash")


@dataclass
class FakeNetworks:
    """The engine's networks by name, and the instances whose containers are on them."""

    there: dict[str, NetworkState] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    made: int = 0
    removed: int = 0
    refuse: bool = False
    """The next one is made, and the engine says that it was not."""
    stuck: set[str] = field(default_factory=set)
    """Those that the engine counts as in use, though no container is on them."""

    async def ensure(
        self, _: Engine, owner: Owner, subnet: IPv4Network, *, egress: str = EGRESS_NONE
    ) -> str:
        name = labels.own_network_name(owner.installation, subnet, egress)
        if any(each.subnet == subnet for other, each in self.there.items() if other != name):
            raise SubnetTaken(403, "Pool overlaps with other one on this address space")
        assert self.users.get(name, owner.uid) == owner.uid, "it would be cut off"
        if name not in self.there:
            self.made += 1
            self.there[name] = NetworkState(name, name, "instance", "n1", egress, subnet, {})
        if self.refuse:
            self.refuse = False
            raise EngineError(500, "something went wrong")
        return name

    async def remove(self, _: Engine, name: str) -> None:
        assert name not in self.users, "a container is on it"
        if name in self.stuck:
            raise NetworkInUse(403, f"network {name} has active endpoints")
        self.removed += self.there.pop(name, None) is not None

    async def remove_unused(self, _: Engine, name: str) -> bool:
        if name not in self.users and name not in self.stuck:
            self.removed += self.there.pop(name, None) is not None
        return name not in self.there

    async def list(self, _: Engine, *, installation: str, node: str) -> list[NetworkState]:
        assert (installation, node) == (SETTINGS.installation, "n1")
        return list(self.there.values())

    async def is_clean(self, _: Engine, name: str) -> bool:
        return name in self.there and name not in self.users


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeNetworks:
    made = FakeNetworks()
    monkeypatch.setattr(networks, "ensure_own_network", made.ensure)
    monkeypatch.setattr(networks, "remove_network", made.remove)
    monkeypatch.setattr(networks, "remove_unused", made.remove_unused)
    monkeypatch.setattr(networks, "list_networks", made.list)
    monkeypatch.setattr(networks, "is_clean", made.is_clean)
    return made


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.db", "10000-10099", seed=1) as opened:
        yield opened
        assert opened.check() == []


class Node:
    """An agent's way with networks, as attach, teardown and resync go it."""

    def __init__(self, ledger: Ledger, fake: FakeNetworks) -> None:
        self.ledger, self.fake = ledger, fake
        self.own = OwnNetworks(Engine("unix:///nowhere"), SETTINGS)

    async def launch(self, uid: str, egress: str = EGRESS_NONE) -> str:
        prefer = self.own.preferred(egress)
        subnet = self.ledger.allocate_subnet(
            uid, pool=self.own.pool, prefix=PREFIX, now=1, prefer=prefer
        )
        name = await self.own.take(owner(uid), subnet, egress)
        assert self.fake.there[name].subnet == subnet
        assert self.fake.users.get(name, uid) == uid, "another instance is on it"
        self.fake.users[name] = uid
        return name

    async def remove(self, uid: str) -> None:
        self.empty(uid)
        await self.own.give_back(uid)
        self.free(uid)

    def empty(self, uid: str) -> None:
        self.fake.users = {n: user for n, user in self.fake.users.items() if user != uid}

    def free(self, uid: str) -> None:
        self.ledger.free_subnet(uid, now=1)
        self.own.lost(uid)

    async def resync(self, *, keep: bool = True) -> None:
        await self.own.collect(owners(self.ledger, self.own.pool), keep=keep)


@pytest.fixture
def node(ledger: Ledger, fake: FakeNetworks) -> Node:
    return Node(ledger, fake)


async def test_a_clean_network_is_given_to_the_next_instance(node: Node) -> None:
    first = await node.launch("a")
    await node.remove("a")
    assert await node.launch("b") == first
    assert (node.fake.made, node.fake.removed) == (1, 0)
    assert await node.launch("c") != first


async def test_no_more_are_kept_than_the_operator_says(node: Node) -> None:
    for uid in "abcd":
        await node.launch(uid)
    for uid in "abcd":
        await node.remove(uid)
    assert (node.own.spare, len(node.fake.there)) == (2, 2)
    await node.resync(keep=False)
    assert (node.own.spare, node.fake.there) == (0, {})


async def test_a_network_of_another_egress_makes_room_for_one_of_its_subnet(node: Node) -> None:
    kept = [await node.launch(uid) for uid in "abcd"]
    for uid in "ab":
        await node.remove(uid)
    with_internet = [await node.launch(uid, EGRESS_INTERNET) for uid in "xy"]
    assert all("internet" in name for name in with_internet)
    assert set(node.fake.there) == {*kept[2:], *with_internet}
    with pytest.raises(SubnetsExhausted):
        await node.launch("z")


async def test_one_that_was_made_though_the_engine_said_no_is_removed(node: Node) -> None:
    node.fake.refuse = True
    with pytest.raises(EngineError):
        await node.launch("a")
    assert node.own.holds("a")
    await node.own.remove("a")
    assert node.fake.there == {}
    node.free("a")


async def test_one_that_went_wrong_is_not_kept(node: Node) -> None:
    node.fake.refuse = True
    with pytest.raises(EngineError):
        await node.launch("a")
    await node.own.give_back("a")
    assert (node.own.spare, node.fake.there) == (0, {})
    node.free("a")


async def test_after_a_restart_what_is_in_use_stays_and_the_rest_is_kept(node: Node) -> None:
    await node.launch("a")
    await node.launch("b")
    node.empty("b")
    node.ledger.free_subnet("b", now=1)  # and killed before it could say so
    again = Node(node.ledger, node.fake)
    await again.resync()
    assert again.own.spare == 1
    assert await again.launch("a") in node.fake.there, "adopted, not made"
    await again.launch("c")
    assert node.fake.made == 2


async def test_a_container_on_a_free_network_keeps_it_from_being_given_away(node: Node) -> None:
    name = await node.launch("a")
    node.ledger.free_subnet("a", now=1)
    again = Node(node.ledger, node.fake)
    await again.resync()
    assert (again.own.spare, list(node.fake.there)) == (0, [name]), "nor is anybody cut off"
    node.empty("a")
    await again.resync()
    assert again.own.preferred(EGRESS_NONE) == [node.fake.there[name].subnet]


async def test_a_network_goes_after_the_containers_that_are_known_to_be_on_it(node: Node) -> None:
    name = await node.launch("a")
    node.ledger.free_subnet("a", now=1)
    again = Node(node.ledger, node.fake)
    known = owners(node.ledger, node.own.pool)
    assert await again.own.collect(known, keep=False, used={name}) == []
    node.empty("a")
    assert await again.own.collect(known) == [], "it is a spare one now"
    assert await again.own.collect(known, keep=False) == [name]


async def test_a_network_that_stays_in_use_keeps_no_instance_from_going_and_no_other_network(
    node: Node,
) -> None:
    """On a full disk the engine counts endpoints that it has not, until it is restarted."""
    for uid in "abcd":
        await node.launch(uid)
    node.fake.stuck = {node.own.name_of("c") or ""}
    for uid in "abcd":
        await node.remove(uid)
    assert (node.own.spare, set(node.fake.there) >= node.fake.stuck) == (2, True)
    await node.resync(keep=False)
    assert set(node.fake.there) == node.fake.stuck
    again = Node(node.ledger, node.fake)
    for uid in "ab":
        assert await again.launch(uid) not in node.fake.stuck
    assert {await again.launch(uid) for uid in "cd"} > node.fake.stuck, "adopted as it is"


async def test_a_stuck_network_of_another_egress_has_its_subnet(node: Node) -> None:
    node.fake.stuck = {await node.launch("a")}
    await node.remove("a")
    await node.resync(keep=False)
    (held,) = node.fake.there.values()
    assert held.subnet is not None
    with pytest.raises(SubnetTaken):
        await node.own.take(owner("b"), held.subnet, EGRESS_INTERNET)


async def test_what_an_earlier_process_has_left_of_one_instance_goes_and_no_other(
    node: Node,
) -> None:
    mine, other, third = [await node.launch(uid) for uid in "abc"]
    node.empty("c")
    subnet = node.fake.there[mine].subnet
    assert subnet is not None
    node.empty("a")
    assert await node.own.remove_left([subnet], {mine}) == 0, "this process knows it itself"
    again = Node(node.ledger, node.fake)
    assert await again.own.remove_left([], set()) == 0
    assert await again.own.remove_left([], {other}) == 0, "a container is on it"
    assert await again.own.remove_left([subnet], set()) == 1
    node.empty("b")
    assert await again.own.remove_left([], {other, "bridge"}) == 1
    assert set(node.fake.there) == {third}


async def test_whatever_happens_no_two_instances_share_a_network(
    ledger: Ledger, fake: FakeNetworks
) -> None:
    seed = random.randrange(2**32)
    print(f"seed={seed}")
    chance, node = random.Random(seed), Node(ledger, fake)
    living: dict[str, str] = {}
    for number in range(600):
        match chance.choice(("launch", "launch", "remove", "remove", "fail", "resync", "restart")):
            case "launch" if len(living) < 4:
                uid, egress = f"i{number}", chance.choice(EGRESS)
                living[uid] = await node.launch(uid, egress)
            case "remove" if living:
                uid = chance.choice(sorted(living))
                del living[uid]
                await node.remove(uid)
            case "fail" if len(living) < 4:
                uid, fake.refuse = f"i{number}", True
                try:
                    living[uid] = await node.launch(uid)
                except EngineError:
                    await node.own.remove(uid)
                    node.free(uid)
                fake.refuse = False
            case "resync":
                await node.resync()
            case "restart":
                node = Node(ledger, fake)
        assert set(fake.users.items()) == {(name, uid) for uid, name in living.items()}
        assert node.own.spare <= 2
    for uid in living:
        await node.remove(uid)
    await node.resync(keep=False)
    assert (fake.there, ledger.subnets()) == ({}, [])
