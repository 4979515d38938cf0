"""A clock that a file shifts: what the controller takes for "now", and nothing else."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest

from controller.reconcile import clock
from hack.bed import skewed


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    """A module of the controller's that knows the time, shifted as the others would be."""
    made = ModuleType("controller.made_up")
    vars(made)["datetime"] = datetime
    others = [m for n, m in sys.modules.items() if n.partition(".")[0] == "controller"]
    before = [(m, vars(m)["datetime"]) for m in others if "datetime" in vars(m)]
    monkeypatch.setitem(sys.modules, made.__name__, made)
    skewed.install(tmp_path / "agent-1")
    yield made
    for other, kept in before:
        vars(other)["datetime"] = kept


def off(module: ModuleType) -> float:
    """Seconds by which the module's clock is off."""
    now: datetime = vars(module)["datetime"].now(UTC)
    return (now - datetime.now(UTC)).total_seconds()


def test_without_a_file_the_clock_is_right(module: ModuleType) -> None:
    assert abs(off(module)) < 1


@pytest.mark.parametrize("seconds", [90, -90])
def test_the_clock_jumps_there_and_back(module: ModuleType, tmp_path: Path, seconds: int) -> None:
    skewed.set_shift(tmp_path / "agent-1", seconds)
    assert abs(off(module) - seconds) < 1
    skewed.set_shift(tmp_path / "agent-1", 0)
    assert abs(off(module)) < 1


def test_times_that_others_have_made_are_still_times(module: ModuleType, tmp_path: Path) -> None:
    skewed.set_shift(tmp_path / "agent-1", 90)
    shifted = vars(module)["datetime"]
    assert isinstance(datetime.now(UTC), shifted)
    assert not isinstance("2026", shifted)
    assert type(shifted.now(UTC)) is datetime
    assert shifted(2026, 5, 1) + timedelta(days=1) == datetime(2026, 5, 2)


def test_the_controllers_own_clock_is_shifted(module: ModuleType, tmp_path: Path) -> None:
    skewed.set_shift(tmp_path / "agent-1", 3600)
    found = clock.SystemClock().now() - datetime.now(UTC)
    assert abs(found.total_seconds() - 3600) < 1
