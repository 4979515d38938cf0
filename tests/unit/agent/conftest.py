"""A node for the tests of its ChallengeNode: 20 ports, an engine that nobody calls, a keeper."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from controller.ledger import Ledger
from controller.runtime.engine import Engine
from tests.unit.agent.kept import Kept
from tests.unit.reconcile.world import World, world
from tests.unit.runtime.fake_engine import FakeEngine


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.db", "10000-10019", seed=1) as opened:
        yield opened


@pytest.fixture
async def node(ledger: Ledger) -> AsyncIterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="cc-"))
    fake = FakeEngine(folder / "docker.sock")
    engine = Engine(fake.url, timeout=30.0)
    made = world(ledger, fake, engine)
    made.configure(ports="10000-10019")
    yield made
    await engine.close()
    shutil.rmtree(folder)


@pytest.fixture
def kept(node: World) -> Kept:
    return Kept(node)
