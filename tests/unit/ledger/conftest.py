"""A fresh ledger for each test; whatever the test does, every invariant must hold at its end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.ledger import Ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    """Ten ports, 10000-10009, in an order fixed by the seed."""
    with Ledger.open(path, "10000-10009", seed=1) as opened:
        yield opened
        assert opened.check() == []
