"""Bad files and bad folders: a typed error or a file set aside, never a wrong answer."""

import logging
import os
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from controller.ledger import (
    Instance,
    Ledger,
    LedgerCorrupt,
    LedgerError,
    LedgerReader,
    LedgerUnavailable,
    Loss,
)
from controller.ledger.filesystem import filesystem_of, is_shared

PORTS = "10000-10099"


def reserve(ledger: Ledger, uid: str) -> int:
    return ledger.reserve(uid, ["p"], namespace="ns", name=uid, now=1)["p"]


def make(path: Path, instances: int = 20) -> None:
    with Ledger.open(path, PORTS, seed=1) as ledger:
        for i in range(instances):
            reserve(ledger, f"u{i}")


def test_a_file_that_is_no_database_is_set_aside(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text("not a database, but somebody's notes\n" * 100)
    with caplog.at_level(logging.ERROR), Ledger.open(path, PORTS) as ledger:
        assert ledger.is_new
        aside = ledger.set_aside
        assert ledger.usage().free == 100
    assert aside is not None
    assert aside.name.startswith("ledger.db.corrupt-20")
    assert aside.read_text().startswith("not a database")
    assert str(aside) in caplog.text
    assert "Set aside" in caplog.text


def test_another_programs_database_is_set_aside(path: Path) -> None:
    foreign = sqlite3.connect(path)
    foreign.execute("CREATE TABLE accounts (name TEXT)")
    foreign.close()
    with Ledger.open(path, PORTS) as ledger:
        assert ledger.is_new
        assert ledger.set_aside is not None
        with pytest.raises(LedgerCorrupt, match="no ledger"):
            LedgerReader.open_read_only(ledger.set_aside)


def test_two_bad_files_in_one_second_are_both_kept(path: Path) -> None:
    names = set()
    for text in ("one", "two"):
        path.unlink(missing_ok=True)
        path.write_text(text * 1000)
        with Ledger.open(path, PORTS) as ledger:
            assert ledger.set_aside is not None
            names.add(ledger.set_aside)
        for beside in path.parent.glob("ledger.db*"):
            if "corrupt" not in beside.name:
                beside.unlink()
    assert len(names) == 2


def test_an_empty_file_is_a_new_ledger(path: Path) -> None:
    path.touch()
    with Ledger.open(path, PORTS) as ledger:
        assert ledger.is_new
        assert ledger.set_aside is None
    with Ledger.open(path, PORTS) as ledger:
        assert not ledger.is_new


def test_without_a_range_a_bad_file_stays_where_it_is(path: Path) -> None:
    path.write_text("x" * 5000)
    with pytest.raises(LedgerCorrupt, match=r"ledger\.db: the file is damaged"):
        Ledger.open(path, None)
    assert path.read_text() == "x" * 5000


def test_a_damaged_page_is_found_at_the_start(path: Path) -> None:
    make(path)
    content = bytearray(path.read_bytes())
    content[4096 * 6 : 4096 * 7] = b"\xff" * 4096
    path.write_bytes(content)
    with Ledger.open(path, PORTS) as ledger:
        assert ledger.set_aside is not None
        assert ledger.set_aside.read_bytes() == bytes(content)
        assert ledger.check() == []


def test_a_text_that_is_no_text_any_more_is_found_at_the_start(path: Path) -> None:
    with Ledger.open(path, PORTS) as ledger:
        ledger.reserve("a", ["p"], namespace="ns", name="somewhere", now=1)
    path.write_bytes(path.read_bytes().replace(b"somewhere", b"somewh\xffre"))
    with pytest.raises(LedgerCorrupt, match="decode to UTF-8"):
        Ledger.open(path, None)
    with Ledger.open(path, PORTS) as ledger:
        assert ledger.set_aside is not None


def test_an_index_that_disagrees_with_its_table_is_found_at_the_start(path: Path) -> None:
    make(path)
    db = sqlite3.connect(path)
    held = db.execute("SELECT port FROM ports WHERE instance IS NOT NULL").fetchone()[0]
    (free,) = db.execute(
        "SELECT port FROM ports WHERE instance IS NULL ORDER BY turn LIMIT 1"
    ).fetchone()
    db.close()
    content = path.read_bytes()
    # The index holds (turn, port): in the last byte of an entry a free port becomes a held one.
    turn = 21
    entry, wrong = (bytes([3, 1, 2, turn, *port.to_bytes(2, "big")]) for port in (free, held))
    assert content.count(entry) == 1
    path.write_bytes(content.replace(entry, wrong))
    with Ledger.open(path, PORTS) as ledger:
        assert ledger.set_aside is not None


def test_twenty_flipped_bytes(path: Path, tmp_path: Path) -> None:
    """Whatever byte is flipped: it opens sound, or is set aside; no port is given twice."""
    seed = int(os.environ.get("LEDGER_SEED", random.randrange(2**32)))
    print(f"LEDGER_SEED={seed}")
    chance = random.Random(seed)
    make(path)
    sound = path.read_bytes()
    outcomes = {"set aside": 0, "opened": 0}
    for flip in range(20):
        damaged = tmp_path / str(flip) / "ledger.db"
        damaged.parent.mkdir()
        content = bytearray(sound)
        content[chance.randrange(len(sound))] ^= 1 << chance.randrange(8)
        damaged.write_bytes(content)
        with Ledger.open(damaged, PORTS) as ledger:
            outcomes["opened" if ledger.set_aside is None else "set aside"] += 1
            assert ledger.check() == []
            first, second = reserve(ledger, "new-1"), reserve(ledger, "new-2")
            held = [port for row in ledger.instances() for port in row.ports.values()]
            assert len(held) == len(set(held))
            assert {first, second} <= set(held)
    print(outcomes)
    assert sum(outcomes.values()) == 20


def test_a_file_deleted_while_open_is_noticed(path: Path) -> None:
    with Ledger.open(path, PORTS) as ledger:
        path.unlink()
        for call in (lambda: reserve(ledger, "b"), ledger.usage):
            with pytest.raises(LedgerUnavailable, match="removed or replaced"):
                call()


def test_a_file_moved_away_while_open_is_noticed_and_may_come_back(path: Path) -> None:
    with Ledger.open(path, PORTS) as ledger:
        reserve(ledger, "a")
        hidden = path.rename(path.with_name("hidden"))
        with pytest.raises(LedgerUnavailable, match="removed or replaced"):
            ledger.usage()
        shutil.copy(hidden, path)
        with pytest.raises(LedgerUnavailable, match="removed or replaced"):
            ledger.usage()
        hidden.rename(path)
        reserve(ledger, "b")
        assert ledger.uids() == {"a", "b"}


def test_a_file_replaced_while_open_is_noticed(path: Path) -> None:
    with Ledger.open(path, PORTS) as ledger:
        shutil.copy(path, path.with_name("copy"))
        path.with_name("copy").rename(path)
        with pytest.raises(LedgerUnavailable, match="removed or replaced"):
            reserve(ledger, "a")


def test_a_deleted_folder_is_noticed_and_named(tmp_path: Path) -> None:
    path = tmp_path / "state" / "ledger.db"
    with pytest.raises(LedgerUnavailable, match="folder does not exist; create or mount"):
        Ledger.open(path, PORTS)
    path.parent.mkdir()
    with Ledger.open(path, PORTS) as ledger:
        shutil.rmtree(path.parent)
        with pytest.raises(LedgerUnavailable, match=str(path)):
            reserve(ledger, "a")


def test_a_locked_file_is_named_and_works_when_the_lock_is_gone(path: Path) -> None:
    with Ledger.open(path, PORTS, busy_timeout=0.05) as ledger:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailable, match=r"ledger\.db: another process holds its lock"):
            reserve(ledger, "a")
        other.execute("ROLLBACK")
        other.close()
        reserve(ledger, "a")


def test_a_file_of_a_newer_version_is_refused_and_left(path: Path) -> None:
    make(path)
    db = sqlite3.connect(path)
    db.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
        " VALUES ('challenge-controller.ledger', '9999_future', '')"
    )
    db.commit()
    db.close()
    with pytest.raises(LedgerUnavailable, match=r"a newer version wrote it \(schema 9999_future\)"):
        Ledger.open(path, PORTS)
    with pytest.raises(LedgerUnavailable, match="another schema version"):
        LedgerReader.open_read_only(path)
    assert not list(path.parent.glob("*corrupt*"))


def fail_half_way(ledger: Ledger) -> None:
    with ledger._connection.write as db:
        db.execute("DELETE FROM ports")
        raise RuntimeError


def test_an_error_leaves_no_transaction_open(path: Path) -> None:
    with Ledger.open(path, PORTS) as ledger, Ledger.open(path, None, busy_timeout=0.05) as other:
        with pytest.raises(RuntimeError):
            fail_half_way(ledger)
        reserve(other, "a")
        assert ledger.usage().free == 99


def test_a_held_port_is_never_given_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even if an index went bad under a running agent and offers it."""
    with Ledger.open(path, PORTS) as ledger:
        held = reserve(ledger, "a")
        monkeypatch.setattr("controller.ledger.ports.first_free", lambda db, now: held)
        with pytest.raises(LedgerCorrupt, match="free in the index, held in the table"):
            reserve(ledger, "b")
        with pytest.raises(LedgerCorrupt):
            ledger.uids()
        assert ledger.look() is Loss.BAD
    with Ledger.open(path, PORTS) as ledger:
        assert ledger.uids() == {"a"}
        assert ledger.check() == []


def test_what_sqlite_refuses_is_the_ledgers_error(path: Path) -> None:
    with Ledger.open(path, PORTS) as ledger:
        with pytest.raises(LedgerError, match="cannot store TEXT value in INTEGER column"):
            ledger.reserve("a", ["p"], namespace="ns", name="n", now="soon")  # type: ignore[arg-type] # on purpose
        assert ledger.uids() == set()


def test_a_closed_ledger_says_so(path: Path) -> None:
    ledger = Ledger.open(path, PORTS)
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerUnavailable, match="it was closed"):
        ledger.usage()


def test_without_wal_there_is_none(path: Path) -> None:
    with Ledger.open(path, PORTS) as ledger:
        reserve(ledger, "a")
        assert path.with_name("ledger.db-wal").exists()
    with Ledger.open(path, PORTS, wal=False) as ledger:
        reserve(ledger, "b")
        assert not path.with_name("ledger.db-wal").exists()
        assert ledger.uids() == {"a", "b"}


@pytest.mark.parametrize(
    ("options", "message"),
    [({"synchronous": "SOMETIMES"}, "expected one of"), ({"busy_timeout": -1.0}, "0 or more")],
)
def test_a_wrong_setting_is_refused(
    path: Path, options: dict[str, str | float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Ledger.open(path, PORTS, **options)  # type: ignore[arg-type] # one of either


@pytest.mark.parametrize("level", ["off", "NORMAL", "Full", "EXTRA"])
def test_synchronous_reaches_sqlite(path: Path, level: str) -> None:
    with Ledger.open(path, PORTS, synchronous=level) as ledger, ledger._connection.read as db:
        (number,) = db.execute("PRAGMA synchronous").fetchone()
        assert number == ["OFF", "NORMAL", "FULL", "EXTRA"].index(level.upper())


MOUNTS = """\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:40 / /srv/state rw shared:2 - nfs4 server:/state rw,vers=4.2
31 22 0:41 / /srv/my\\040disk rw - xfs /dev/vdb rw
32 30 0:42 / /srv/state/local rw - tmpfs tmpfs rw
33 22 0:43 / /srv/over rw - nfs server:/x rw
34 22 0:44 / /srv/over rw - ext4 /dev/vdc rw
"""


@pytest.mark.parametrize(
    ("folder", "kind", "shared"),
    [
        ("/srv/state", "nfs4", True),
        ("/srv/state/deeper/still", "nfs4", True),
        ("/srv/state/local/x", "tmpfs", False),
        ("/srv/stateful", "ext4", False),
        ("/srv/my disk", "xfs", False),
        ("/srv/over", "ext4", False),
        ("/", "ext4", False),
    ],
)
def test_the_file_system_of_a_folder(folder: str, kind: str, shared: bool) -> None:
    assert filesystem_of(Path(folder), MOUNTS) == kind
    assert is_shared(kind) == shared


def test_wal_is_refused_on_a_shared_file_system(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.ledger.sqlitefile.filesystem_of", lambda folder: "nfs4")
    with pytest.raises(LedgerUnavailable, match=r"is on nfs4.*set CHALLENGE_LEDGER_WAL=false"):
        Ledger.open(path, PORTS)
    assert not path.exists()
    Ledger.open(path, PORTS, wal=False).close()


def test_restore_rebuilds_what_runs(path: Path) -> None:
    path.write_text("x" * 5000)
    found = [
        Instance("a", "ns", "a", "web", {"http": 10001, "nc": 10002}, True, 5, 6, 7),
        Instance("far", "ns", "far", None, {"http": 20000}, True, 5),
        Instance("twice", "ns", "twice", None, {"http": 10002}, True, 5),
        Instance("none", "ns", "none", None, {}, False, 5),
    ]
    with Ledger.open(path, PORTS) as ledger:
        ledger.quarantine(10001, until=None, reason="bind failed")
        for _ in range(2):
            (problem,) = ledger.restore(found, now=9)
            assert problem.kind == "NotRestored"
            assert problem.detail == "instance twice (ns/twice): port 10002 belongs to instance a"
            assert ledger.instances() == [found[0], found[1], found[3]]
            assert ledger.check() == []
        assert ledger.quarantined() == []
        assert ledger.usage().confirmed == 3
        ledger.release("far", now=10)
        assert ledger.usage().confirmed == 2
        assert ledger.usage().free == 98
