"""A node whose ledger cannot be used, or whose range of ports its operator changes."""

import pytest

from controller.agent.node import RESTLESS_PERIOD
from controller.ledger import PortsExhausted
from tests.unit.agent.kept import MIB, Kept, hold

GIB = 1024 * MIB


async def test_a_ledger_that_cannot_be_used_is_told_and_heals(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = kept.world.services.ledger
    await kept.keeper.register()
    hold(kept, "a", 2)
    await kept.status()
    away = ledger.path.with_suffix(".away")
    ledger.path.rename(away)
    for kind in ("LedgerHealthy", "Ready"):
        found = await kept.condition(kind)
        assert (found.status, found.reason) == ("False", "LedgerUnavailable")
        assert str(ledger.path) in found.message
        assert "put it back" in found.message
    allocated = kept.shown().status.allocated
    assert allocated is not None
    assert allocated.ports == 2, "amounts stay as they were known"
    assert kept.healed == 0
    assert caplog.text.count("The ledger cannot be used") == 1, "in one line, however often"
    away.rename(ledger.path)
    assert (await kept.condition("LedgerHealthy")).status == "True"
    assert (await kept.condition("Ready")).status == "True"
    assert kept.healed == 1


async def test_a_reconcile_that_meets_a_bad_ledger_has_it_told_at_once(kept: Kept) -> None:
    services = kept.world.services
    kept.keeper._due.clear()
    services.ledger.path.rename(services.ledger.path.with_suffix(".away"))
    with pytest.raises(Exception, match="put it back"):
        await services.book(type(services.ledger).uids)
    assert kept.keeper._due.is_set()
    kept.keeper._due.clear()
    services.ledger.path.with_suffix(".away").rename(services.ledger.path)
    with pytest.raises(PortsExhausted):
        await services.book(
            type(services.ledger).reserve,
            "a",
            [f"p{n}" for n in range(21)],
            namespace="team",
            name="a",
            now=0,
        )
    assert not kept.keeper._due.is_set(), "that ports ran out is no fault of the file"


async def test_the_operators_range_is_in_force_while_instances_run(kept: Kept) -> None:
    services = kept.world.services
    await kept.keeper.register()
    assert not kept.keeper.in_force.is_set()
    held = set(hold(kept, "a", 3).values())
    kept.spec(portRange="20000-20003")
    status = await kept.status()
    assert kept.keeper.in_force.is_set()
    assert status.port_range == "20000-20003"
    assert services.ledger.meta()["ports_override"] == "[[20000, 20003]]", "for the next start"
    assert status.allocatable is not None
    assert status.allocated is not None
    assert (status.allocatable.ports, status.allocated.ports) == (7, 3), "room for 4 more"
    assert kept.keeper._period() == RESTLESS_PERIOD, "the manager counts on ports that will go"
    assert set(hold(kept, "b", 4).values()) == {20000, 20001, 20002, 20003}
    services.ledger.release("a", now=1)
    status = await kept.status()
    assert status.allocatable is not None
    assert status.allocatable.ports == 4, "told at once: they are gone with their instance"
    assert kept.keeper._period() > RESTLESS_PERIOD
    kept.spec()
    status = await kept.status()
    assert status.port_range == kept.world.settings.ports == "10000-10019"
    assert services.ledger.meta()["ports_override"] == ""
    assert held <= set(hold(kept, "c", 20).values())


async def test_who_waits_for_a_port_is_woken_when_the_range_grows(kept: Kept) -> None:
    await kept.keeper.register()
    await kept.status()
    waiting = {f"w{number}": None for number in range(20)}
    kept.world.services.starved = dict(waiting)
    await kept.status()
    assert kept.world.woken == []
    kept.spec(portRange="10000-10030")
    await kept.status()
    assert kept.world.woken == list(waiting)


async def test_a_range_that_cannot_be_had_now_is_tried_again(kept: Kept) -> None:
    ledger = kept.world.services.ledger
    await kept.keeper.register()
    kept.spec(portRange="20000-20003")
    ledger.path.rename(ledger.path.with_suffix(".away"))
    status = await kept.status()
    assert status.port_range == "10000-10019"
    assert not kept.keeper.in_force.is_set()
    ledger.path.with_suffix(".away").rename(ledger.path)
    assert (await kept.status()).port_range == "20000-20003"
    assert kept.keeper.in_force.is_set()
