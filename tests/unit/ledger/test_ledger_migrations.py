"""A ledger of every older schema opens with all that it holds; `schemas/` has a file of each."""

import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database

from controller.ledger import Ledger
from controller.ledger.schema import MIGRATIONS

SCHEMAS = Path(__file__).parent / "schemas"


def load(name: str, path: Path) -> None:
    """Make the ledger that `schemas/NAME.sql` is a dump of."""
    db = sqlite3.connect(path)
    db.executescript((SCHEMAS / f"{name}.sql").read_text())
    db.close()


def known_migrations() -> list[str]:
    with Database(memory=True) as empty:
        return [migration.name for migration in MIGRATIONS.pending(empty)]


def test_there_is_a_file_of_every_schema() -> None:
    assert sorted(file.stem for file in SCHEMAS.glob("*.sql")) == sorted(known_migrations())


@pytest.mark.parametrize("name", sorted(file.stem for file in SCHEMAS.glob("*.sql")))
def test_an_older_ledger_keeps_what_it_holds(path: Path, name: str) -> None:
    """Each file holds ports 10000-10009 with a (http, nc), b (http, finalized) and 10009 aside."""
    load(name, path)
    with Ledger.open(path, "10000-10009") as ledger:
        assert not ledger.is_new
        assert ledger.set_aside is None
        assert ledger.check() == []
        held = {row.uid: dict(row.ports) for row in ledger.instances()}
        assert held == {"a": {"http": 10004, "nc": 10007}, "b": {"http": 10001}}
        assert [aside.port for aside in ledger.quarantined()] == [10009]
        assert ledger.get_meta("schema_version") == str(len(known_migrations()))
        assert ledger.get_meta("engine_id") == "OLD"
        assert ledger.usage().free == 6
        ledger.reserve("c", ["p"], namespace="ns", name="c", now=9)
    with Ledger.open(path, "10000-10009") as ledger:
        assert ledger.uids() == {"a", "b", "c"}


def test_a_row_from_before_is_finalized_counts_as_finalized(path: Path) -> None:
    load("0001_tables", path)
    with Ledger.open(path, "10000-10009") as ledger:
        assert {row.uid: row.is_finalized for row in ledger.instances()} == {"a": True, "b": True}
        assert ledger.unfinalized(attempt_before=2**50) == []


def test_the_last_schema_keeps_unfinalized_rows(path: Path) -> None:
    load("0002_is_finalized", path)
    with Ledger.open(path, "10000-10009") as ledger:
        assert [row.uid for row in ledger.unfinalized(attempt_before=100)] == ["a"]


def test_an_old_ledger_and_a_new_one_have_the_same_schema(path: Path, tmp_path: Path) -> None:
    def objects(file: Path) -> set[tuple[str, str]]:
        Ledger.open(file, "10000-10009").close()
        db = sqlite3.connect(file)
        found = db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        db.close()
        return set(found)

    load("0001_tables", path)
    assert objects(path) == objects(tmp_path / "new.db")
