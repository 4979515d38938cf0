"""The runtime's door to a stand-in for the engine."""

from collections.abc import AsyncIterator

import pytest

from controller.runtime.engine import Engine
from tests.unit.runtime.fake_engine import FakeEngine, listening


@pytest.fixture
async def fake() -> AsyncIterator[FakeEngine]:
    """A listening stand-in."""
    async with listening() as made:
        yield made


@pytest.fixture
async def engine(fake: FakeEngine) -> AsyncIterator[Engine]:
    """The runtime's door to the stand-in."""
    made = Engine(fake.url, timeout=30.0)
    yield made
    await made.close()
