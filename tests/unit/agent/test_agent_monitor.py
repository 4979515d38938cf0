"""The engine refuses, or the ledger does, while the agent finds out what the engine is."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import AsyncMock, Mock

import pytest

from controller.agent import monitor
from controller.agent.lock import HostLock
from controller.agent.monitor import EngineMonitor
from controller.ledger import LedgerUnavailable
from controller.runtime import run
from controller.runtime.engine import EngineInfo
from controller.runtime.errors import EngineError, EngineUnavailable
from controller.runtime.events import CONNECTED, Event
from tests.unit.agent.kept import INFO
from tests.unit.reconcile.world import World

REFUSED = EngineError(500, "not now")


@dataclass
class Looking:
    """A monitor, and what its engine does: the faults that are still to come, in their order."""

    node: World
    pings: list[Exception] = field(default_factory=list)
    asked: list[Exception] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    """Whatever the node's status has told of the engine."""
    watched: asyncio.Event = field(default_factory=asyncio.Event)

    async def ping(self) -> None:
        if self.pings:
            raise self.pings.pop(0)

    async def identity(self) -> EngineInfo:
        if self.asked:
            raise self.asked.pop(0)
        return INFO

    async def events(self, installation: str) -> AsyncGenerator[Event]:
        yield CONNECTED
        self.watched.set()
        await asyncio.Event().wait()

    async def secure(self) -> None:
        pass

    def changed(self) -> None:
        self.said.append(self.node.services.engine_problem)

    async def look(self) -> list[str]:
        """Watch until the engine is known; what the status said on the way."""
        made = EngineMonitor(
            self.node.services, secure=self.secure, returned=Mock(), changed=self.changed
        )
        watching = asyncio.create_task(made.run())
        await asyncio.wait({watching, asyncio.ensure_future(self.watched.wait())}, timeout=30.0,
                           return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        made.close()
        assert self.watched.is_set()
        return self.said


@pytest.fixture
def looking(node: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Looking:
    made = Looking(node)
    node.services.engine_problem = "not reached yet"
    for name in ("ping", "identity", "events"):
        monkeypatch.setattr(node.services.engine, name, getattr(made, name))
    monkeypatch.setattr(monitor, "only_ours", AsyncMock(return_value=None))
    monkeypatch.setattr(run, "current", AsyncMock(return_value="boot/bridge"))
    monkeypatch.setattr(monitor, "engine_lock", lambda *_: HostLock(tmp_path / "engine.lock"))
    monkeypatch.setattr(monitor, "PAUSE", 0.0)
    monkeypatch.setattr(monitor, "RETRY", 0.0)
    return made


async def test_an_engine_that_answers_is_never_said_to_be_away(looking: Looking) -> None:
    assert await looking.look() == [""]


@pytest.mark.parametrize("times", [1, 2])
async def test_an_answer_that_fails_is_asked_for_again_before_anybody_is_told(
    looking: Looking, times: int
) -> None:
    looking.asked = [REFUSED] * times
    assert await looking.look() == [""]


async def test_an_engine_that_refuses_three_times_is_said_to_be_unavailable(
    looking: Looking,
) -> None:
    looking.asked = [REFUSED] * 3
    assert await looking.look() == ["not now", ""]


async def test_a_ledger_that_cannot_be_asked_once_is_asked_again(
    looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [LedgerUnavailable(looking.node.services.ledger.path, "disk I/O error", "mend it")]

    async def confirm(*_: object) -> None:
        if faults:
            raise faults.pop()

    monkeypatch.setattr(monitor, "confirm", confirm)
    assert await looking.look() == [""]


async def test_an_engine_that_is_away_is_pinged_three_times_in_all(looking: Looking) -> None:
    away = EngineUnavailable("nobody there")
    looking.pings = [away] * 3
    assert await looking.look() == ["nobody there", ""]
