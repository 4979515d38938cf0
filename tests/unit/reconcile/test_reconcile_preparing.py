"""Networks made ahead: as many as wanted, only while there is time, and never two for one."""

from ipaddress import IPv4Network

import pytest

from controller.reconcile import gate, release
from controller.reconcile.ownnetworks import PREFIX, OwnNetworks
from controller.reconcile.preparing import NOBODY, prepare
from controller.reconcile.result import Waiting
from controller.runtime import networks
from controller.runtime.errors import EngineError
from controller.runtime.labels import EGRESS_NONE
from controller.settings import load
from tests.unit.reconcile.test_reconcile_own_networks import FakeNetworks
from tests.unit.reconcile.world import UID, World

WANTED = 2


@pytest.fixture
def fake_networks(node: World, monkeypatch: pytest.MonkeyPatch) -> FakeNetworks:
    """A node that is to have some networks ahead, in a range of four."""
    made = FakeNetworks()
    monkeypatch.setattr(networks, "ensure_own_network", made.ensure)
    monkeypatch.setattr(networks, "remove_network", made.remove)
    monkeypatch.setattr(networks, "remove_unused", made.remove_unused)
    monkeypatch.setattr(networks, "is_clean", made.is_clean)

    async def listed(*_: object, **__: object) -> list[networks.NetworkState]:
        return list(made.there.values())

    monkeypatch.setattr(networks, "list_networks", listed)
    wanted(node, WANTED)
    return made


def wanted(node: World, number: int) -> None:
    services = node.services
    services.settings = load(
        {"node_name": "n1", "state_dir": "/nonexistent", "instance_subnets": "10.99.0.0/25"}
        | {"spare_networks": 0 if number else WANTED, "prepared_networks": number}
    )
    services.own_networks = OwnNetworks(services.engine, services.settings)


def given(node: World, uid: str) -> IPv4Network:
    own = node.services.own_networks
    return node.services.ledger.allocate_subnet(
        uid, pool=own.pool, prefix=PREFIX, now=0, prefer=own.preferred(EGRESS_NONE)
    )


async def test_as_many_as_wanted_are_made_and_launches_find_them(
    node: World, fake_networks: FakeNetworks
) -> None:
    assert [await prepare(node.services) for _ in range(3)] == [True, True, False]
    made = {each.subnet for each in fake_networks.there.values()}
    assert (fake_networks.made, len(made)) == (WANTED, WANTED)
    assert node.services.ledger.subnets() == [], "they are nobody's"
    assert {given(node, "a"), given(node, "b")} == made


@pytest.mark.parametrize("busy", ["at work", "queue", "engine", "firewall"])
async def test_nothing_is_made_while_others_need_the_engine(
    node: World, fake_networks: FakeNetworks, busy: str
) -> None:
    services = node.services
    match busy:
        case "at work":
            services.gate.resize(8)
            services.gate.request("other", gate.Work.REMOVAL)
        case "queue":
            services.gate.request("a", gate.Work.LAUNCH)
            services.gate.request("b", gate.Work.LAUNCH)
        case "engine":
            services.engine_problem = "away"
        case "firewall":
            services.unsafe = Waiting("FirewallUnavailable", "iptables is not there")
    assert not await prepare(services)
    assert fake_networks.made == 0


async def test_a_launch_gets_no_network_that_is_half_made(
    node: World, fake_networks: FakeNetworks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the slot is taken meanwhile, so that no more is made at a time than the gate allows."""
    seen = []
    ensure = fake_networks.ensure

    async def slow(*args: object, **named: object) -> str:
        name: str = await ensure(*args, **named)  # type: ignore[arg-type]  # handed on as they came
        seen.append(given(node, "a"))
        assert node.services.gate.holds(NOBODY)
        return name

    monkeypatch.setattr(networks, "ensure_own_network", slow)
    await prepare(node.services)
    (made,) = {each.subnet for each in fake_networks.there.values()}
    assert seen != [made]
    assert node.services.gate.held == 0
    assert given(node, "b") == made


async def test_a_failure_holds_nothing(node: World, fake_networks: FakeNetworks) -> None:
    fake_networks.refuse = True
    with pytest.raises(EngineError):
        await prepare(node.services)
    assert node.services.ledger.subnets() == []
    assert node.services.gate.held == 0
    assert node.services.own_networks.spare == 0


async def test_a_range_that_instances_have_wholly_is_left_to_them(
    node: World, fake_networks: FakeNetworks
) -> None:
    for uid in "abcd":
        given(node, uid)
    assert not await prepare(node.services)
    assert fake_networks.made == 0


@pytest.mark.parametrize(("number", "left"), [(WANTED, WANTED), (0, 0)])
async def test_they_outlive_the_last_instance_until_they_are_wanted_no_more(
    node: World, fake_networks: FakeNetworks, number: int, left: int
) -> None:
    while await prepare(node.services):
        pass
    wanted(node, number)  # the next process
    await release.networks(node.services)
    await release.tidy(node.services)
    assert len(fake_networks.there) == left
    assert not await prepare(node.services)


async def test_networks_of_an_earlier_range_stay_with_their_instances_and_no_longer(
    node: World, fake_networks: FakeNetworks
) -> None:
    """Also where the ledger was lost, so that only its containers tell of one."""
    earlier = IPv4Network("10.88.0.0/25")
    subnets = dict(zip(("booked", "running", "clean"), earlier.subnets(2), strict=False))
    for name, subnet in subnets.items():
        fake_networks.there[name] = networks.NetworkState(
            name, name, "instance", "n1", EGRESS_NONE, subnet, {}
        )
    node.services.ledger.adopt_subnet("a", pool=earlier, subnet=subnets["booked"], now=0)
    fake_networks.users = {"booked": "a", "running": UID}
    node.engine.states, node.engine.network = {"web": "running"}, "running"
    assert await release.networks(node.services) == ["clean"]
    assert set(fake_networks.there) == {"booked", "running"}
