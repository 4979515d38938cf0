"""Nothing is started where it would not be kept apart, and what runs is left alone."""

import pytest

from controller.reconcile.isolate import isolate
from controller.reconcile.result import DONE, Waiting
from controller.runtime import networks
from tests.unit.reconcile.world import World, template

UNSAFE = Waiting("FirewallUnavailable", "iptables is not there: install it", 30.0)


@pytest.fixture
def bridge_nf(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the kernel says of packets within a bridge; a test changes it."""
    value = ["1"]
    monkeypatch.setattr(networks, "_bridge_nf", lambda: value[0])
    return value


async def test_with_the_rules_in_force_it_goes_on(node: World, bridge_nf: list[str]) -> None:
    assert await isolate(node.work()) == DONE


async def test_a_launch_waits_for_the_rules_and_says_what_to_do(
    node: World, bridge_nf: list[str]
) -> None:
    node.services.unsafe = UNSAFE
    assert await isolate(node.work()) == UNSAFE


@pytest.mark.parametrize("state", ["running", "paused"])
async def test_what_runs_goes_on_without_them(
    node: World, bridge_nf: list[str], state: str
) -> None:
    node.services.unsafe = UNSAFE
    node.engine.states = {"web": state}
    work = node.work()
    node.found(work)
    assert await isolate(work) == DONE


async def test_what_has_ended_is_not_started_again_without_them(
    node: World, bridge_nf: list[str]
) -> None:
    """After a reboot all containers have ended, and the kernel has no rules."""
    node.services.unsafe = UNSAFE
    node.engine.states = {"web": "exited"}
    work = node.work()
    node.found(work)
    assert await isolate(work) == UNSAFE


@pytest.mark.parametrize(
    ("value", "names", "waits"),
    [
        ("0", ["web"], True),
        ("0", ["web", "db"], False),
        ("1", ["web"], False),
        ("", ["web"], False),
    ],
)
async def test_who_would_share_a_bridge_waits_while_the_kernel_does_not_filter_within(
    node: World, bridge_nf: list[str], value: str, names: list[str], waits: bool
) -> None:
    """Containers on a network of their own may reach each other; without the module the engine
    loads it."""
    bridge_nf[0] = value
    result = await isolate(node.work({"template": template(*names)}))
    assert isinstance(result, Waiting) == waits
    if isinstance(result, Waiting):
        assert result.reason == "BridgeFilterOff"
        assert "sysctl -w net.bridge.bridge-nf-call-iptables=1" in result.message
