"""An operator, a fake API server, and a clock."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.cli import drain, forget
from tests.unit.cli.fake_api import FakeApi
from tests.unit.cli.operator import FakeTime, Operator


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """A fake API server, empty."""
    fake = FakeApi()
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def operator(api: FakeApi, tmp_path: Path) -> Operator:
    """Somebody with a kubeconfig for the fake API server, and nothing else set."""
    environment = {"KUBECONFIG": str(api.kubeconfig(tmp_path / "config")), "HOME": str(tmp_path)}
    return Operator(api, environment)


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    """Time for the commands that wait: it passes by their waiting alone."""
    clock = FakeTime()
    monkeypatch.setattr(drain, "time", clock)
    monkeypatch.setattr(forget, "time", clock)
    return clock
