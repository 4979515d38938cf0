"""A subnet that others on the engine have is left out, in the same launch."""

from ipaddress import IPv4Network

import pytest

from controller.ledger import Ledger
from controller.reconcile import freesubnet
from controller.reconcile.ownnetworks import OwnNetworks, owners
from controller.runtime import networks
from controller.runtime.engine import Engine
from controller.runtime.errors import NetworkExhausted, SubnetTaken
from tests.unit.reconcile.world import World


class Others:
    """Networks of others on the engine, by their subnets; how often a network was asked for."""

    def __init__(self, *subnets: str) -> None:
        self.subnets = [IPv4Network(each) for each in subnets]
        self.asked: list[str] = []

    async def make(self, subnet: IPv4Network) -> IPv4Network:
        """The engine's answer to one who wants a network."""
        self.asked.append(str(subnet))
        if any(subnet.overlaps(other) for other in self.subnets):
            raise SubnetTaken(403, "Pool overlaps with other one on this address space")
        return subnet

    async def all(self, _engine: Engine) -> list[IPv4Network]:
        """What the engine has."""
        return self.subnets


async def find(node: World, monkeypatch: pytest.MonkeyPatch, others: Others) -> str:
    """The subnet that an instance gets."""
    node.configure(instance_subnets="10.99.0.0/25")  # four of them
    services = node.services
    services.own_networks = OwnNetworks(services.engine, services.settings)
    monkeypatch.setattr(networks, "all_subnets", others.all)
    return str(await freesubnet.with_free(services, "uid", others.make))


async def test_the_next_one_that_nobody_has_is_taken_and_held(
    node: World, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = Others("10.99.0.0/27", "10.99.0.32/28", "172.17.0.0/16")
    assert await find(node, monkeypatch, others) == "10.99.0.64/27"
    assert others.asked == ["10.99.0.0/27", "10.99.0.64/27"], "the engine is not asked in vain"
    held = owners(ledger, node.services.own_networks.pool)
    assert held == {IPv4Network("10.99.0.64/27"): "uid"}


async def test_where_others_have_all_of_the_range_nothing_is_held_and_it_is_told(
    node: World, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NetworkExhausted, match="CHALLENGE_INSTANCE_SUBNETS"):
        await find(node, monkeypatch, Others("10.99.0.0/24"))
    assert owners(ledger, node.services.own_networks.pool) == {}


async def test_a_refusal_that_no_network_explains_is_not_tried_around(
    node: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host's own routes, say; or one that has gone since."""
    others = Others("10.99.0.0/27")

    async def none(_engine: Engine) -> list[IPv4Network]:
        return []

    monkeypatch.setattr(others, "all", none)
    with pytest.raises(SubnetTaken):
        await find(node, monkeypatch, others)
