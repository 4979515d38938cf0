"""kill -9 at every SQL statement of a ledger's life, one after the other."""

from pathlib import Path

import pytest

from tests.unit.ledger.test_ledger_crash import sweep_apart


@pytest.mark.slow
@pytest.mark.parametrize("wal", [True, False])
def test_killed_at_every_statement(tmp_path: Path, wal: bool) -> None:
    assert sweep_apart(tmp_path, wal=wal, step=1) > 100
