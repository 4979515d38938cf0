"""Moving over from cmgr: the ports that it still holds are kept out of ours.

Responsible for reading cmgr's database (its schema: picoCTF/cmgr, `cmgr/database.go`, table
`portAssignments`), without changing it, and for telling which ports can be bound again.
"""

import socket
import sqlite3
from pathlib import Path

from sqlite_utils import Database

from controller.ledger.errors import (
    SQL_ERRORS,
    LedgerError,
    LedgerUnavailable,
    SqlError,
    is_corruption,
    translate,
)
from controller.ledger.ledger import Ledger

REASON = "held by cmgr"


def held_ports(path: Path) -> list[int]:
    """The host ports in cmgr's database, ascending.

    Raises LedgerUnavailable when the file cannot be read or is no database of cmgr's.
    """
    if not path.exists():
        raise LedgerUnavailable(path, "there is no such file", "name cmgr's database (CMGR_DB)")
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error as error:
        raise _refused(path, error) from error
    try:
        db = Database(connection, execute_plugins=False)
        rows = db.execute(
            "SELECT DISTINCT port FROM portAssignments WHERE typeof(port) = 'integer' ORDER BY port"
        ).fetchall()
    except SQL_ERRORS as error:
        raise _refused(path, error) from error
    finally:
        connection.close()
    return [port for (port,) in rows]


def _refused(path: Path, error: SqlError) -> LedgerError:
    if is_corruption(error) or "no such table" in str(error) or "no such column" in str(error):
        return LedgerUnavailable(
            path, f"it is no database of cmgr's ({error})", "name cmgr's database (CMGR_DB)"
        )
    return translate(path, error)


def quarantine(ledger: Ledger, path: Path) -> set[int]:
    """Put aside the ports that cmgr holds, until `lift_bindable` frees them; the ones it put aside.

    Ports outside the ledger's range, and those that are held or put aside already, are left as
    they are. Raises LedgerUnavailable for either file.
    """
    return ledger.quarantine_free(held_ports(path), until=None, reason=REASON)


def lift_bindable(ledger: Ledger) -> set[int]:
    """Free those of cmgr's ports that can be bound by now; the ones that it freed.

    For each of them a socket is bound on all addresses and closed at once.
    """
    aside = [entry.port for entry in ledger.quarantined() if entry.reason == REASON]
    return ledger.lift(port for port in aside if _can_be_bound(port))


def _can_be_bound(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Past connections in TIME_WAIT do not count, a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True
