"""Damage that SQLite's own checks do not read: the schema's text, JSON in `meta`, subnets."""

import random
import sqlite3
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from click.testing import CliRunner

from controller.ledger import Instance, Ledger, LedgerCorrupt, LedgerError
from controller.ledger_cli import ledger as command

PORTS = "10000-10019"
POOL = IPv4Network("10.64.1.0/24")
RESTORED = Instance(uid="r", namespace="ns", name="r", ports={"p": 10003})


def make(path: Path) -> None:
    with Ledger.open(path, PORTS, seed=1) as ledger:
        ledger.restore([RESTORED], now=1)
        ledger.reserve("a", ["http", "nc"], namespace="ns", name="a", challenge="web", now=1)
        ledger.add_slot("s", ["x"], namespace="ns", challenge="web", template="t", now=1)
        ledger.allocate_subnet("a", pool=POOL, prefix=28, now=1)


def every_write(ledger: Ledger) -> None:
    """What a running agent writes; a ledger that opens must be able to."""
    ledger.reserve("n", ["p"], namespace="ns", name="n", now=2)
    ledger.begin_attempt("n", now=2)
    ledger.confirm("n", now=2)
    ledger.finalize(["n"], now=2)
    ledger.set_expiry("n", expires=9, now=2)
    ledger.allocate_subnet("n", pool=POOL, prefix=28, now=2)
    ledger.swap("n", "p", now=2, until=5, reason="in use")
    ledger.claim_slot("s", "c", namespace="ns", name="c", now=3)
    for uid in ("a", "c", "n"):
        ledger.release(uid, now=3)


def flip(path: Path, position: int, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


def test_a_flipped_bit_in_the_schema_or_in_meta_never_stops_an_agent(path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed={seed}")
    chance = random.Random(seed)
    make(path)
    sound = path.read_bytes()
    texts = [
        b"CREATE TABLE",
        b"CREATE INDEX",
        b"CREATE UNIQUE",
        b"[[10000",
        b"0001_tables",
        b"10.64.",
    ]
    starts = [at for text in texts for at in range(len(sound)) if sound.startswith(text, at)]
    assert len(starts) >= 20
    positions = [start + offset for start in starts for offset in range(60)]
    for position in chance.sample(positions, 40):
        path.write_bytes(sound)
        bit = chance.randrange(8)
        flip(path, position, bit)
        with Ledger.open(path, PORTS) as ledger:
            assert ledger.check() == [], (position, bit)
            if ledger.set_aside is None:
                every_write(ledger)
            else:
                assert ledger.needs_restore
        for beside in path.parent.glob("ledger.db*"):
            beside.unlink()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE meta SET value = '{' WHERE key = 'ports'",
        "UPDATE meta SET value = '7' WHERE key = 'ports'",
        "DELETE FROM meta WHERE key = 'ports'",
        "DROP INDEX ports_free",
        "ALTER TABLE instances RENAME COLUMN created TO cveated",
        "ALTER TABLE subnets RENAME TO subnats",
        "UPDATE subnets SET last = last - 5",
        "ALTER TABLE _sqlite_migrations RENAME COLUMN applied_at TO apqlied_at",
    ],
)
def test_damage_that_sqlite_does_not_see_sets_the_file_aside(path: Path, damage: str) -> None:
    make(path)
    db = sqlite3.connect(path)
    db.execute(damage)
    db.commit()
    db.close()
    with Ledger.open(path, PORTS) as ledger:
        assert ledger.set_aside is not None
        assert ledger.check() == []
        with pytest.raises(LedgerError):
            Ledger.open(ledger.set_aside, None)


def test_a_search_that_was_to_go_on_outside_the_pool_stays_inside(path: Path) -> None:
    make(path)
    db = sqlite3.connect(path)
    db.execute("UPDATE subnet_pools SET next = 5")
    db.commit()
    db.close()
    with Ledger.open(path, PORTS) as ledger:
        assert ledger.allocate_subnet("b", pool=POOL, prefix=28, now=1).subnet_of(POOL)


def test_a_fresh_ledger_asks_to_be_restored_until_it_was(path: Path) -> None:
    """A crash between the two must not have the next start take what runs for orphans."""
    for _ in range(2):
        with Ledger.open(path, PORTS) as ledger:
            assert ledger.needs_restore
    with Ledger.open(path, PORTS) as ledger:
        assert not ledger.is_new
        ledger.restore([], now=1)
        assert not ledger.needs_restore
    with Ledger.open(path, PORTS) as ledger:
        assert not ledger.needs_restore
    path.write_text("no ledger")
    with Ledger.open(path, PORTS) as ledger:
        assert ledger.needs_restore


@pytest.mark.parametrize(
    "impossible",
    [
        Instance(uid="b", namespace="ns", name="b", ports={"p": 70000}),
        Instance(uid="b", namespace="ns", name="b", ports={"p": 0}),
        Instance(uid="b", namespace="ns", name="b", ports={"p": None}),  # type: ignore[dict-item] # as read
        Instance(uid="", namespace="ns", name="b", ports={"p": 10010}),
        Instance(uid="b", namespace="ns", name=None, ports={"p": 10010}),  # type: ignore[arg-type] # as read
    ],
)
def test_what_cannot_be_restored_does_not_keep_the_rest_out(
    path: Path, impossible: Instance
) -> None:
    with Ledger.open(path, PORTS) as ledger:
        other = Instance(uid="o", namespace="ns", name="o", ports={"p": 10011})
        problems = ledger.restore([RESTORED, impossible, other], now=1)
        assert len(problems) == 1
        assert ledger.uids() == {"r", "o"}
        assert ledger.usage().free == 18
        assert ledger.check() == []


def test_who_saw_a_bad_file_late_does_not_move_the_fresh_one(path: Path) -> None:
    path.write_text("no ledger, but somebody's notes" * 100)
    with pytest.raises(LedgerCorrupt) as seen:
        Ledger.open(path, None)
    with Ledger.open(path, PORTS) as fresh:
        assert fresh.set_aside is not None
        assert not seen.value.is_at_path()


@pytest.mark.parametrize("after", ["moved", "replaced"])
def test_a_file_that_is_moved_away_takes_no_more_reservations(path: Path, after: str) -> None:
    make(path)
    with Ledger.open(path, PORTS) as old:
        path.rename(path.with_name("elsewhere.db"))
        if after == "replaced":
            Ledger.open(path, PORTS).close()
        with pytest.raises(LedgerError, match="removed or replaced"):
            old.reserve("n", ["p"], namespace="ns", name="n", now=2)


def test_the_command_line_leaves_the_journal_mode_alone(path: Path) -> None:
    with Ledger.open(path, PORTS, wal=False) as agents:
        for words in (["quarantine", "--lift-bindable"], ["check"], ["show"]):
            CliRunner().invoke(command, [*words, "--state-dir", str(path.parent)])
        agents.reserve("a", ["p"], namespace="ns", name="a", now=1)
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    db.close()


def test_an_iterable_may_ask_the_ledger_itself(ledger: Ledger) -> None:
    ledger.reserve("a", ["p"], namespace="ns", name="a", now=1)
    assert ledger.finalize((uid for uid in ["a"] if ledger.get(uid)), now=2) == {"a"}
    assert [row.uid for row in ledger.instances(uids=(u for u in ["a"] if ledger.get(u)))] == ["a"]


def test_a_relative_path_stays_where_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    with Ledger.open(path.name, PORTS) as ledger:
        monkeypatch.chdir("/")
        assert ledger.usage().free == 20
