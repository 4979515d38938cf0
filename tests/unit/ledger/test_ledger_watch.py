"""A file that is taken away, or written over, under an agent that has it open."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from controller.ledger import (
    Ledger,
    LedgerCorrupt,
    LedgerLost,
    LedgerReader,
    LedgerUnavailable,
    Loss,
    connection,
)
from controller.ledger_cli import ledger as command

PORTS = "10000-10099"


def reserve(ledger: Ledger, uid: str) -> int:
    return ledger.reserve(uid, ["p"], namespace="ns", name=uid, now=1)["p"]


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


@pytest.fixture
def agents(path: Path) -> Iterator[Ledger]:
    """An agent's ledger with one instance in the file, and one in its log."""
    with Ledger.open(path, PORTS) as before:
        reserve(before, "old")
    with Ledger.open(path, PORTS, sole_writer=True) as opened:
        reserve(opened, "new")
        assert opened.look() is Loss.NONE
        yield opened


def remove(path: Path) -> None:
    path.unlink()


def remove_all(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def remove_log(path: Path) -> None:
    beside(path, "-wal").unlink()


def remove_memory(path: Path) -> None:
    beside(path, "-shm").unlink()


def replace(path: Path) -> None:
    shutil.copy(path, beside(path, ".copy"))
    beside(path, ".copy").rename(path)


def replace_log(path: Path) -> None:
    beside(path, ".copy").write_bytes(b"no log")
    beside(path, ".copy").rename(beside(path, "-wal"))


@pytest.mark.parametrize(
    "damage", [remove, remove_all, remove_log, remove_memory, replace, replace_log]
)
def test_what_was_taken_away_is_put_back_with_all_that_it_had(
    agents: Ledger, path: Path, damage: Callable[[Path], None]
) -> None:
    before = agents.everything()
    damage(path)
    assert agents.look() is Loss.AWAY
    assert "put it back" in agents.problem
    agents.put_back()
    assert agents.look() is Loss.NONE
    assert agents.everything() == before
    reserve(agents, "more")
    assert agents.problem == ""
    with LedgerReader.open_read_only(path) as others:
        assert others.uids() == {"old", "new", "more"}
        assert others.check() == []


def test_one_that_cannot_be_opened_when_it_was_put_back_is_whole_and_to_be_opened_anew(
    agents: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    remove(path)
    monkeypatch.setattr(connection, "connect", refuse)
    with pytest.raises(LedgerLost, match="put back, but not opened"):
        agents.put_back()
    monkeypatch.undo()
    with Ledger.open(path, PORTS) as after:
        assert after.uids() == {"old", "new"}


def test_the_log_of_a_fresh_file_is_missed_as_well(path: Path) -> None:
    with Ledger.open(path, PORTS, sole_writer=True) as fresh:
        reserve(fresh, "first")
        remove_log(path)
        assert fresh.look() is Loss.AWAY
        fresh.put_back()
        assert fresh.uids() == {"first"}
    with Ledger.open(path, PORTS) as after:
        assert after.uids() == {"first"}


def test_what_lay_there_instead_is_kept_under_another_name(agents: Ledger, path: Path) -> None:
    beside(path, ".copy").write_text("somebody's notes")
    beside(path, ".copy").rename(path)
    aside = agents.put_back()
    assert aside is not None
    assert aside.name.startswith("ledger.db.replaced-20")
    assert aside.read_text() == "somebody's notes"
    agents.close()
    assert {file.name for file in path.parent.iterdir()} == {path.name, aside.name}
    with Ledger.open(path, PORTS) as after:
        assert after.uids() == {"old", "new"}


def test_who_moved_the_file_may_put_it_back(agents: Ledger, path: Path) -> None:
    path.rename(beside(path, ".away"))
    assert agents.look() is Loss.AWAY
    beside(path, ".away").rename(path)
    assert agents.look() is Loss.NONE
    reserve(agents, "more")


def test_it_is_not_put_back_into_a_folder_that_is_gone_but_as_soon_as_that_is_there(
    agents: Ledger, path: Path
) -> None:
    shutil.rmtree(path.parent)
    with pytest.raises(LedgerUnavailable, match="check that its folder exists"):
        agents.put_back()
    path.parent.mkdir()
    agents.put_back()
    assert agents.uids() == {"old", "new"}


def copy_old(path: Path) -> None:
    """What `cp backup ledger.db` does: the same file, with another content."""
    path.write_bytes(beside(path, ".backup").read_bytes())


def garbage(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(2048 * 5)
        file.write(b"\xff" * 2048)


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(0)


@pytest.mark.parametrize("damage", [copy_old, garbage, truncate])
def test_nothing_is_believed_of_a_file_that_was_written_over(
    agents: Ledger, path: Path, damage: Callable[[Path], None]
) -> None:
    shutil.copy(path, beside(path, ".backup"))
    damage(path)
    for call in (lambda: reserve(agents, "more"), agents.uids):
        with pytest.raises(LedgerCorrupt, match="another program has written into the file"):
            call()
    assert agents.look() is Loss.BAD
    assert "rebuilds the ledger from what runs" in agents.problem
    with pytest.raises(LedgerCorrupt):
        agents.put_back()
    aside = agents.give_up()
    assert aside is not None
    with Ledger.open(path, PORTS, sole_writer=True) as fresh:
        assert fresh.needs_restore
        assert fresh.uids() == set()
        assert fresh.look() is Loss.NONE


def test_the_agents_own_writes_are_nobody_elses(agents: Ledger, path: Path) -> None:
    before = path.stat().st_mtime_ns
    for number in range(450):  # until the log is brought into the file, and once more
        agents.set_meta(f"key {number}", "value")
        assert agents.look() is Loss.NONE
    assert path.stat().st_mtime_ns != before
    assert beside(path, "-wal").stat().st_size < 4_000_000


def test_the_agents_own_writes_do_not_hide_those_of_others(agents: Ledger, path: Path) -> None:
    with agents._connection.write as db:
        db.execute("INSERT INTO meta (key, value) VALUES ('key', 'value')")
        garbage(path)  # while the agent is in the middle of a transaction
        agents._connection._commits = 1000  # after which the log is to be brought into the file
    assert agents.look() is Loss.BAD


def test_the_command_line_beside_an_agent_is_no_stranger(agents: Ledger, path: Path) -> None:
    for _ in range(3):
        for words in (["quarantine", "--lift-bindable"], ["check"], ["show"]):
            done = CliRunner().invoke(command, [*words, "--state-dir", str(path.parent)])
            assert done.exit_code == 0
    with Ledger.open(path, None, wal=None) as other:
        for number in range(80):
            other.set_meta(f"key {number}", "x" * 40_000)
    assert agents.look() is Loss.NONE
    assert agents.meta()["key 79"] == "x" * 40_000
    reserve(agents, "more")


def test_without_a_log_others_may_write_into_the_file(path: Path) -> None:
    with (
        Ledger.open(path, PORTS, wal=False, sole_writer=True) as agents,
        Ledger.open(path, None, wal=None) as other,
    ):
        other.set_meta("key", "value")
        assert agents.look() is Loss.NONE
        reserve(agents, "more")
