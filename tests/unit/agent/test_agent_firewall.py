"""The agent's firewall: kept in force, told where it cannot be, and put right when it can."""

import asyncio
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

import pytest

from controller.agent.firewall import NOT_YET, FirewallKeeper
from controller.reconcile.result import Waiting
from controller.runtime import networks
from controller.runtime.firewall import FirewallFault
from controller.runtime.rules import Policy
from controller.settings import load
from tests.unit.reconcile.virtual_time import now, virtual
from tests.unit.reconcile.world import World


@dataclass
class Kernel:
    """Stands in for iptables."""

    fault: str = ""
    changed: bool = False
    asked: list[Policy] = field(default_factory=list)

    async def ensure(self, policy: Policy) -> bool:
        """As the firewall does."""
        self.asked.append(policy)
        if self.fault:
            raise FirewallFault(self.fault)
        return self.changed


@pytest.fixture
def node(node: World) -> World:
    """A node whose rules have not been laid down yet."""
    node.services.unsafe = NOT_YET
    return node


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def keeper(
    node: World, told: list[str], kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> FirewallKeeper:
    monkeypatch.setattr(networks, "_bridge_nf", lambda: "1")
    made = FirewallKeeper(
        node.services,
        server="https://203.0.113.7:6443",
        restored=lambda: told.append("restored"),
        changed=lambda: told.append("changed"),
    )
    monkeypatch.setattr(made, "_firewall", kernel)
    return made


async def test_once_it_is_in_force_instances_may_start(
    node: World, keeper: FirewallKeeper, told: list[str], kernel: Kernel
) -> None:
    await keeper.check()
    assert node.services.unsafe is None
    assert told == ["changed", "restored"]
    await keeper.check()
    assert told == ["changed", "restored"], "nothing new is not told"
    assert len(kernel.asked) == 2


async def test_the_api_server_and_the_nodes_own_address_are_refused(
    node: World, keeper: FirewallKeeper, kernel: Kernel
) -> None:
    node.services.settings = node.settings.model_copy(
        update={"refused_networks": ("8.8.8.0/24",), "resolvers": ("9.9.9.9",)}
    )
    await keeper.check()
    assert kernel.asked == [
        Policy(
            "default",
            (IPv4Address("9.9.9.9"),),
            (
                IPv4Network("8.8.8.0/24"),
                IPv4Network("192.0.2.1/32"),
                IPv4Network("203.0.113.7/32"),
            ),
        )
    ]


async def test_what_prevents_it_is_told_and_put_right_later(
    node: World,
    keeper: FirewallKeeper,
    told: list[str],
    kernel: Kernel,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kernel.fault = "The program iptables is not there: install it"
    await keeper.check()
    await keeper.check()
    assert isinstance(node.services.unsafe, Waiting)
    assert node.services.unsafe.reason == "FirewallUnavailable"
    assert told == ["changed"]
    assert [record.message for record in caplog.records] == [
        "No instance is started: The program iptables is not there: install it"
    ]
    kernel.fault = ""
    await keeper.check()
    assert node.services.unsafe is None
    assert told == ["changed", "changed", "restored"]


async def test_rules_that_somebody_has_changed_are_put_back_and_it_is_logged(
    keeper: FirewallKeeper, kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    kernel.changed = True
    await keeper.check()
    assert caplog.records == [], "the first time is no surprise"
    await keeper.check()
    assert ["put back" in record.message for record in caplog.records] == [True]


async def test_an_operator_who_keeps_the_firewall_himself_is_not_interfered_with(
    node: World, keeper: FirewallKeeper, kernel: Kernel
) -> None:
    node.services.settings = node.settings.model_copy(update={"firewall": "off"})
    await keeper.check()
    assert kernel.asked == []
    assert node.services.unsafe is None


async def test_a_kernel_that_does_not_filter_within_bridges_is_refused_also_then(
    node: World, keeper: FirewallKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.services.settings = node.settings.model_copy(update={"firewall": "off"})
    monkeypatch.setattr(networks, "_bridge_nf", lambda: "0")
    await keeper.check()
    assert node.services.unsafe is not None
    assert node.services.unsafe.reason == "BridgeFilterOff"
    assert "br_netfilter" in node.services.unsafe.message


@virtual
async def test_another_address_of_the_hosts_is_refused_at_once() -> None:
    looked: list[float] = []

    class Stub:
        settings = load({"state_dir": "/nonexistent"})
        unsafe, engine_problem = None, ""

    keeper = FirewallKeeper(
        Stub(),  # type: ignore[arg-type]  # all that its loop asks for
        server="https://203.0.113.7:6443",
        restored=lambda: None,
        changed=lambda: None,
    )

    async def check() -> None:
        looked.append(now())

    keeper.check = check  # type: ignore[method-assign]  # what it does is tested above
    task = asyncio.create_task(keeper.run())
    await asyncio.sleep(5)
    keeper.soon()
    await asyncio.sleep(61)
    assert looked == [5, 65]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
