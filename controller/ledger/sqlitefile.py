"""How the ledger's file is opened: SQLite's journal mode, its waits, its caches.

Responsible for a connection that is set up as it should be, or an error that says why it cannot be.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database

from controller.ledger.errors import SQL_ERRORS, LedgerError, LedgerUnavailable
from controller.ledger.filesystem import filesystem_of, is_shared

SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")
# STRICT tables came with 3.37, the ->> operator with 3.38.
_OLDEST_SQLITE = (3, 38, 0)
_LONGEST_WAIT = 86_400
# Room for the whole file: 50,000 instances take 10 MB, and SQLite's own 2 MB would have it read
# pages again and again.
_CACHE_KIB = 32 * 1024
# Each transaction writes every page that it touches, whole: half of SQLite's own 4096 makes a
# reservation 12 % faster, a quarter makes a full ledger slower, for its trees are deeper.
_PAGE_BYTES = 2048


@dataclass(frozen=True, kw_only=True)
class Way:
    """How to open: `busy_timeout` in seconds; `wal` None keeps the file's journal mode.

    `checkpoints`: SQLite brings the log into the file by itself, from time to time.
    """

    busy_timeout: float
    wal: bool | None
    synchronous: str
    read_only: bool
    checkpoints: bool = True

    def __post_init__(self) -> None:
        """Raises ValueError for a setting out of bounds."""
        if self.synchronous.upper() not in SYNCHRONOUS:
            raise ValueError(f"synchronous {self.synchronous!r}: expected one of {SYNCHRONOUS}")
        if not 0 <= self.busy_timeout <= _LONGEST_WAIT:
            raise ValueError(
                f"busy timeout {self.busy_timeout}: expected 0 or more seconds, at most "
                f"{_LONGEST_WAIT}"
            )


def connect(path: Path, way: Way) -> Database:
    """Open the file, which is made if it is not there; raises LedgerUnavailable, sqlite3.Error."""
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise LedgerUnavailable(
            path, f"SQLite {sqlite3.sqlite_version} is too old", "use SQLite 3.38 or newer"
        )
    if not path.parent.is_dir():
        raise LedgerUnavailable(path, "its folder does not exist", "create or mount the folder")
    if way.wal and not way.read_only:
        _refuse_shared_folder(path)
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={'ro' if way.read_only else 'rwc'}",
        uri=True,
        timeout=way.busy_timeout,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        db = Database(connection, execute_plugins=False)
        _configure(db, path, way)
    except (*SQL_ERRORS, LedgerError):
        connection.close()
        raise
    return db


def _refuse_shared_folder(path: Path) -> None:
    kind = filesystem_of(path.parent)
    if is_shared(kind):
        raise LedgerUnavailable(
            path,
            f"its folder is on {kind}, where SQLite's write-ahead log does not work",
            "keep it on a local disk, or set CHALLENGE_LEDGER_WAL=false",
        )


def _configure(db: Database, path: Path, way: Way) -> None:
    db.execute("PRAGMA foreign_keys = ON")
    if way.read_only:
        db.execute("PRAGMA query_only = ON")
        return
    # Before the file has its first page; one that is there keeps the size that it has.
    db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    if not way.checkpoints:
        db.execute("PRAGMA wal_autocheckpoint = 0")
    if way.wal is not None:
        _set_journal_mode(db, path, "wal" if way.wal else "delete")
    db.execute(f"PRAGMA synchronous = {way.synchronous}")
    db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")


def _set_journal_mode(db: Database, path: Path, wanted: str) -> None:
    (mode,) = db.execute(f"PRAGMA journal_mode = {wanted}").fetchone()
    if mode != wanted:
        raise LedgerUnavailable(
            path,
            f"SQLite's journal mode is {mode} where {wanted} was asked for",
            "keep it on a local disk, or set CHALLENGE_LEDGER_WAL=false",
        )
