"""The ledger's random and crowded tests, longer than the unit tests have time for."""

from pathlib import Path

import pytest

from tests.unit.ledger import test_ledger_model as model
from tests.unit.ledger.test_ledger_processes import share
from tests.unit.reconcile import test_reconcile_old_ledgers as old_ledgers


@pytest.mark.slow
def test_the_ledger_does_what_the_model_does_in_many_examples() -> None:
    model.compare(100)


@pytest.mark.slow
def test_no_port_is_given_to_two_that_run_in_many_lives() -> None:
    old_ledgers.live(60)


@pytest.mark.slow
def test_eight_processes_of_fifty_threads_share_a_file(tmp_path: Path) -> None:
    share(tmp_path / "ledger.db", 8, 50)
