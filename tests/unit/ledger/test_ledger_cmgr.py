"""Moving over from cmgr: its ports stay out of ours until they can be bound."""

import socket
import sqlite3
from pathlib import Path

import pytest

from controller.ledger import Ledger, LedgerUnavailable, Quarantine, cmgr


def cmgr_database(path: Path, *ports: int) -> Path:
    """The table of cmgr's that holds its ports, one port twice as for one instance's two names."""
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE portAssignments (instance INTEGER, name TEXT, port INTEGER)")
    db.executemany("INSERT INTO portAssignments VALUES (1, 'x', ?)", [(p,) for p in ports])
    db.commit()
    db.close()
    return path


def test_its_ports_are_put_aside(ledger: Ledger, tmp_path: Path) -> None:
    held = ledger.reserve("a", ["p"], namespace="ns", name="a", now=1)["p"]
    free = sorted({10001, 10002, 10003} - {held})[:2]
    source = cmgr_database(tmp_path / "cmgr.db", free[0], free[1], free[1], held, 50000)
    before = source.read_bytes()
    assert cmgr.quarantine(ledger, source) == set(free)
    assert cmgr.quarantine(ledger, source) == set()
    assert ledger.quarantined() == [Quarantine(port, None, "held by cmgr") for port in free]
    assert source.read_bytes() == before
    rest = [ledger.reserve(f"u{i}", ["p"], namespace="ns", name="n", now=2**50) for i in range(7)]
    assert not set(free) & {ports["p"] for ports in rest}


def test_it_may_be_read_while_cmgr_runs(ledger: Ledger, tmp_path: Path) -> None:
    source = cmgr_database(tmp_path / "cmgr.db", 10001)
    running = sqlite3.connect(source, isolation_level=None)
    running.execute("BEGIN IMMEDIATE")
    running.execute("INSERT INTO portAssignments VALUES (2, 'x', 10002)")
    assert cmgr.quarantine(ledger, source) == {10001}
    running.execute("COMMIT")
    assert cmgr.quarantine(ledger, source) == {10002}
    running.close()


def test_a_port_is_freed_when_it_can_be_bound(path: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        source = cmgr_database(tmp_path / "cmgr.db", port)
        with Ledger.open(path, [port]) as ledger:
            cmgr.quarantine(ledger, source)
            assert cmgr.lift_bindable(ledger) == set()
            # A connection that it closes first leaves the port in TIME_WAIT.
            with socket.create_connection(("127.0.0.1", port)) as client:
                listener.accept()[0].close()
                client.recv(1)
            listener.close()
            assert cmgr.lift_bindable(ledger) == {port}
            assert ledger.usage().free == 1


def test_other_quarantines_are_not_lifted(ledger: Ledger) -> None:
    ledger.quarantine(10001, until=None, reason="something else")
    assert cmgr.lift_bindable(ledger) == set()


@pytest.mark.parametrize("content", [None, b"", b"text, no database " * 99])
def test_a_file_that_is_not_cmgrs_is_refused(
    ledger: Ledger, tmp_path: Path, content: bytes | None
) -> None:
    source = tmp_path / "cmgr.db"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(LedgerUnavailable, match=r"cmgr\.db: .*CMGR_DB"):
        cmgr.quarantine(ledger, source)
    assert ledger.quarantined() == []
