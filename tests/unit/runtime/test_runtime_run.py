"""Which run of the engine answers: told by its default bridge and the host's boot."""

from pathlib import Path

import pytest

from controller.runtime import run
from controller.runtime.engine import Engine
from tests.unit.runtime.fake_engine import FakeEngine


async def test_a_run_is_the_boot_and_the_bridge_that_the_engine_made_at_its_start(
    fake: FakeEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    boot = tmp_path / "boot_id"
    monkeypatch.setattr(run, "BOOT_ID", boot)
    boot.write_text("boot-1\n")
    networks = [{"Name": "bridge-of-somebody", "Id": "1"}, {"Name": "bridge", "Id": "2"}]
    fake.answer = lambda request: (200, networks)
    assert await run.current(engine) == "boot-1/2"
    networks[1]["Id"] = "3"
    assert await run.current(engine) == "boot-1/3"
    boot.write_text("boot-2\n")
    assert await run.current(engine) == "boot-2/3"
    networks.pop()
    assert await run.current(engine) == "boot-2/"
    boot.unlink()
    assert await run.current(engine) == "/"
