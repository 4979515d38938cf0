"""The agent looks again and again at what containers have written, whatever one look comes to."""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from controller.agent.sampling import keep_sampling
from controller.ledger import Ledger
from controller.runtime import labels
from controller.runtime.engine import Engine
from controller.settings import load
from tests.unit.reconcile.world import UID, World, world
from tests.unit.runtime.fake_engine import FakeEngine, Request

OVER = {
    "Id": "id-web",
    "Labels": {labels.INSTANCE_UID: UID, labels.CONTAINER: "web", labels.STORAGE_LIMIT: "1"},
    "SizeRw": 2,
}


@pytest.fixture
async def fake() -> AsyncIterator[FakeEngine]:
    folder = Path(tempfile.mkdtemp(prefix="cc-"))  # a socket's path has 107 characters at most
    made = FakeEngine(folder / "docker.sock")
    await made.start()
    yield made
    await made.stop()
    shutil.rmtree(folder)


@pytest.fixture
async def node(tmp_path: Path, fake: FakeEngine) -> AsyncIterator[World]:
    engine = Engine(fake.url, timeout=30.0)
    with Ledger.open(tmp_path / "ledger.db", "10000-10009", seed=1) as ledger:
        made = world(ledger, fake, engine)
        made.services.settings = load({"node_name": "n1", "storage_interval": "0.01"})
        yield made
    await engine.close()


async def test_a_look_that_fails_is_told_and_made_up_for_by_the_next(
    node: World, fake: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    third = asyncio.Event()  # the second has been dealt with when it is asked
    looks = 0

    def answer(request: Request) -> Any:
        nonlocal looks
        looks += 1
        if looks == 3:
            third.set()
        return (500, {"message": "a layer is gone"}) if looks == 1 else (200, [OVER])

    fake.answer = answer
    with caplog.at_level(logging.WARNING):
        sampling = asyncio.create_task(keep_sampling(node.services))
        await asyncio.wait_for(third.wait(), 30)
        sampling.cancel()
    assert "Cannot see how much containers have written: a layer is gone" in caplog.text
    assert UID in node.woken


async def test_an_engine_that_is_away_is_not_asked(node: World, fake: FakeEngine) -> None:
    node.services.engine_problem = "away"
    sampling = asyncio.create_task(keep_sampling(node.services))
    await asyncio.sleep(0.1)
    sampling.cancel()
    assert fake.requests == []
