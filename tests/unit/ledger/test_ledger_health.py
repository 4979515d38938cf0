"""Whether the ledger's file can be used: noted when it cannot, forgotten when it was written."""

from pathlib import Path

import pytest

from controller.ledger import InstanceNotFound, Ledger, LedgerUnavailable


def test_a_file_that_is_gone_is_a_problem_until_it_is_written_again(path: Path) -> None:
    with Ledger.open(path, "10000-10009") as ledger:
        assert ledger.problem == ""
        path.rename(path.with_suffix(".away"))
        with pytest.raises(LedgerUnavailable):
            ledger.usage()
        assert str(path) in ledger.problem
        assert "put it back" in ledger.problem
        path.with_suffix(".away").rename(path)
        ledger.usage()
        assert ledger.problem, "that it can be read proves nothing"
        ledger.release("unknown", now=1)
        assert ledger.problem, "nor does a transaction that has written nothing"
        ledger.probe(now=1)
        assert ledger.problem == ""


def test_ordinary_work_heals_as_well(path: Path) -> None:
    with Ledger.open(path, "10000-10009") as ledger:
        path.rename(path.with_suffix(".away"))
        with pytest.raises(LedgerUnavailable):
            ledger.reserve("a", ["x"], namespace="ns", name="a", now=1)
        path.with_suffix(".away").rename(path)
        ledger.reserve("a", ["x"], namespace="ns", name="a", now=1)
        assert ledger.problem == ""


def test_another_process_lock_is_a_problem_with_a_remedy(path: Path) -> None:
    with (
        Ledger.open(path, "10000-10009") as other,
        Ledger.open(path, "10000-10009", busy_timeout=0) as ledger,
    ):
        with other._connection.write, pytest.raises(LedgerUnavailable):
            ledger.probe(now=1)
        assert "another process holds its lock" in ledger.problem
        assert "fuser" in ledger.problem
        ledger.probe(now=2)
        assert ledger.problem == ""


def test_what_a_caller_asked_wrongly_is_no_problem_of_the_file(path: Path) -> None:
    with Ledger.open(path, "10000-10009") as ledger:
        with pytest.raises(InstanceNotFound):
            ledger.confirm("unknown", now=1)
        assert ledger.problem == ""
