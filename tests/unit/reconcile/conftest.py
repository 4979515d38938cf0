"""A node for each test: a ledger of ten ports, an engine's stand-in, an API server's."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from controller.ledger import Ledger
from controller.runtime.engine import Engine
from tests.unit.reconcile.world import World, world
from tests.unit.runtime.fake_engine import FakeEngine, listening


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.db", "10000-10009", seed=1) as opened:
        yield opened
        assert opened.check() == []


@pytest.fixture
async def fake() -> AsyncIterator[FakeEngine]:
    async with listening() as made:
        yield made


@pytest.fixture
async def node(ledger: Ledger, fake: FakeEngine) -> AsyncIterator[World]:
    engine = Engine(fake.url, timeout=30.0)
    made = world(ledger, fake, engine)
    yield made
    await made.services.readiness.close()
    await engine.close()
