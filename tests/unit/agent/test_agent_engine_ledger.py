"""What the watch over the engine makes of a ledger that cannot be written."""

from pathlib import Path

import pytest

from controller.agent import monitor
from controller.agent.monitor import EngineMonitor
from controller.ledger import LedgerUnavailable
from controller.runtime.errors import EngineUnavailable
from tests.unit.reconcile.world import World


async def nothing() -> None:
    """Every instance is kept apart."""


async def test_an_engine_that_answers_is_not_given_up_since_the_ledger_cannot_be_written(
    node: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "PING_PERIOD", 0.0)
    seen: list[str] = []

    async def wait(attempts: int = 3, interval: float = 1.0) -> None:
        seen.append("ping")
        if len(seen) == 5:
            raise EngineUnavailable("it is gone")

    async def full() -> None:
        seen.append("note")
        raise LedgerUnavailable(Path("ledger.db"), "the disk is full", "free space in its folder")

    node.services.engine.wait = wait  # type: ignore[method-assign]
    node.services.outages.seen = full  # type: ignore[method-assign]
    watch = EngineMonitor(
        node.services, secure=nothing, returned=lambda: None, changed=lambda: None
    )
    with pytest.raises(EngineUnavailable):
        await watch._keep_pinging()
    assert seen == ["ping", "note", "ping", "note", "ping"]
