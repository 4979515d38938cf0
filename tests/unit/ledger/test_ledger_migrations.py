"""A ledger of every older schema opens with all that it holds; `schemas/` has a file of each."""

import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlite_utils import Database

from controller.ledger import Ledger, LedgerConflict
from controller.ledger.schema import MIGRATIONS
from controller.ledger_cli import ledger as command

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


@pytest.mark.parametrize("name", ["0002_is_finalized", "0003_numbered_instances"])
def test_a_schema_that_knows_unfinalized_rows_keeps_them(path: Path, name: str) -> None:
    load(name, path)
    with Ledger.open(path, "10000-10009") as ledger:
        assert [row.uid for row in ledger.unfinalized(attempt_before=100)] == ["a"]


@pytest.mark.parametrize("name", ["0001_tables", "0002_is_finalized"])
def test_slots_of_an_older_ledger_keep_their_owners(path: Path, name: str) -> None:
    load(name, path)
    db = sqlite3.connect(path)
    db.executescript(
        """
        INSERT INTO slots (slot, namespace, challenge, template, port_count, instance, created,
                           claimed) VALUES ('claimed', 'ns', 'web', 't', 1, 'b', 1, 2),
                                           ('warm', 'ns', 'web', 't', 1, NULL, 1, NULL);
        UPDATE ports SET slot = 'claimed' WHERE instance = 'b';
        UPDATE ports SET slot = 'warm', name = 'x' WHERE port = 10000;
        """
    )
    db.close()
    with Ledger.open(path, "10000-10009") as ledger:
        assert ledger.set_aside is None
        assert [(s.slot, s.instance, dict(s.ports)) for s in ledger.slots()] == [
            ("claimed", "b", {"http": 10001}),
            ("warm", None, {"x": 10000}),
        ]
        with pytest.raises(LedgerConflict, match="claimed by b"):
            ledger.claim_slot("claimed", "c", namespace="ns", name="c", now=5)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE ports SET instance = 'ghost' WHERE port = 10001",
        "INSERT INTO slots VALUES ('s', 'ns', 'web', 't', 0, 'ghost', 1, 2)",
    ],
)
def test_an_older_ledger_with_an_owner_that_is_not_there_is_set_aside(
    path: Path, damage: str
) -> None:
    load("0002_is_finalized", path)
    db = sqlite3.connect(path)
    db.execute("PRAGMA foreign_keys = OFF")
    db.execute(damage)
    db.commit()
    db.close()
    with Ledger.open(path, "10000-10009") as ledger:
        assert ledger.is_new
        assert ledger.set_aside is not None
        assert ledger.check() == []


def test_an_old_ledger_and_a_new_one_have_the_same_schema(path: Path, tmp_path: Path) -> None:
    def objects(file: Path) -> set[tuple[str, str]]:
        Ledger.open(file, "10000-10009").close()
        db = sqlite3.connect(file)
        found = db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        db.close()
        return set(found)

    load("0001_tables", path)
    assert objects(path) == objects(tmp_path / "new.db")


def test_the_command_line_does_not_migrate_under_an_older_agent(path: Path) -> None:
    load("0002_is_finalized", path)
    words = ["quarantine", "--lift-bindable", "--state-dir", str(path.parent)]
    done = CliRunner().invoke(command, words, catch_exceptions=False)
    assert done.exit_code == 1
    assert "start the agent once to migrate it" in done.output
    with Ledger.open(path, "10000-10009") as ledger:
        assert ledger.uids() == {"a", "b"}
