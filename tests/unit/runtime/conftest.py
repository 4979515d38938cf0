"""The runtime's door to a stand-in for the engine."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.runtime.engine import Engine
from tests.unit.runtime.fake_engine import FakeEngine


@pytest.fixture
async def fake() -> AsyncIterator[FakeEngine]:
    """A listening stand-in."""
    folder = Path(tempfile.mkdtemp(prefix="cc-"))  # a socket's path has 107 characters at most
    made = FakeEngine(folder / "docker.sock")
    await made.start()
    yield made
    made.held.set()
    await made.stop()
    shutil.rmtree(folder)


@pytest.fixture
async def engine(fake: FakeEngine) -> AsyncIterator[Engine]:
    """The runtime's door to the stand-in."""
    made = Engine(fake.url, timeout=5.0)
    yield made
    await made.close()
