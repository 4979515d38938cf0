"""One SQLite connection, shared by the threads of a process, one transaction at a time.

Responsible for how the file is opened, for BEGIN, COMMIT and ROLLBACK, and for turning SQLite's
errors into the ledger's. It knows no table. SQLite has a single writer, so a lock around one
connection costs nothing over a connection for each thread, and threads wait for each other here
rather than by polling the file's lock. An object is not to be carried over a fork.
"""

import os
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from sqlite_utils import Database

from controller.ledger.errors import (
    SQL_ERRORS,
    LedgerCorrupt,
    LedgerError,
    LedgerUnavailable,
    translate,
)
from controller.ledger.filesystem import filesystem_of, identity_of, is_shared

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


_WRITE, _READ = "BEGIN IMMEDIATE", "BEGIN"


class Transaction:
    """A transaction as a context manager; a class, since each reservation pays for it."""

    __slots__ = ("_begin", "_connection")

    def __init__(self, connection: "Connection", begin: str) -> None:
        """`begin` is the statement that begins it; the same object serves again and again."""
        self._connection = connection
        self._begin = begin

    def __enter__(self) -> Database:
        return self._connection.begin(self._begin)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.end(error)


class Connection:
    """The file's connection.

    `with connection.write as db:` is a transaction that may write, all of it or, on any error,
    none; `read` one that only reads, on one state of the file. Both raise LedgerUnavailable,
    LedgerCorrupt and LedgerConflict for what SQLite refuses.
    """

    def __init__(
        self,
        path: Path,
        *,
        busy_timeout: float = 5.0,
        wal: bool | None = True,
        synchronous: str = "NORMAL",
        read_only: bool = False,
    ) -> None:
        """Open the file, which is created if it is not there and `read_only` is not set.

        `busy_timeout` is in seconds; `wal` None keeps the file's journal mode. Raises ValueError
        for a setting out of bounds, LedgerUnavailable, and LedgerCorrupt when the file is no
        database.
        """
        if synchronous.upper() not in SYNCHRONOUS:
            raise ValueError(f"synchronous {synchronous!r}: expected one of {SYNCHRONOUS}")
        if not 0 <= busy_timeout <= _LONGEST_WAIT:
            raise ValueError(
                f"busy timeout {busy_timeout}: expected 0 or more seconds, at most {_LONGEST_WAIT}"
            )
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise LedgerUnavailable(
                path, f"SQLite {sqlite3.sqlite_version} is too old", "use SQLite 3.38 or newer"
            )
        self.path = path
        self._busy_timeout = busy_timeout
        self._wal = wal
        self._synchronous = synchronous.upper()
        self._read_only = read_only
        self.problem = ""
        """Why the last transaction failed that could not be read or written, until one has written
        something: to read proves little while the disk is full."""
        self._changes = 0
        self.write = Transaction(self, _WRITE)
        self.read = Transaction(self, _READ)
        self._lock = threading.Lock()
        self._file: int | None = None
        self._identity: tuple[int, int] | None = None
        self._db: Database | None = None
        before = identity_of(path)
        try:
            self._db = self._connect()
        except SQL_ERRORS as error:
            told = translate(path, error)
            if isinstance(told, LedgerCorrupt):
                told.inode = before
            raise told from error

    @property
    def identity(self) -> tuple[int, int] | None:
        """Device and inode of the open file."""
        return self._identity

    def close(self) -> None:
        """Close the connection; once more is fine."""
        with self._lock:
            self._drop()
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def begin(self, statement: str) -> Database:
        """Wait for the other threads and begin; `Transaction` is the only caller."""
        self._lock.acquire()
        try:
            db = self._usable()
            # Not by db.execute, which looks at each statement to commit it by itself.
            db.conn.execute(statement)
            self._changes = db.conn.total_changes
        except BaseException as error:
            told = self._told(error)
            self._lock.release()
            if told is not error:
                raise told from error
            raise
        return db

    def end(self, error: BaseException | None) -> None:
        """Commit, or roll back after an error; `Transaction` is the only caller."""
        try:
            if error is None and self._db is not None:
                self._db.conn.execute("COMMIT")
                if self.problem and self._db.conn.total_changes != self._changes:
                    self.problem = ""
            told = error if error is None else self._told(error)
        except SQL_ERRORS as refused:
            error, told = refused, self._told(refused)
        finally:
            # Also after a commit that something else cut short, such as Ctrl-C.
            self._roll_back()
            self._lock.release()
        if told is not None and told is not error:
            raise told from error

    def _told(self, error: BaseException) -> BaseException:
        """The ledger's own error for one of SQLite's; noted, if it is about the file."""
        told = translate(self.path, error) if isinstance(error, SQL_ERRORS) else error
        if isinstance(told, LedgerUnavailable):
            self.problem = str(told)
        return told

    def _usable(self) -> Database:
        """The open connection, if its file is still there."""
        if self._file is None:
            raise LedgerUnavailable(self.path, "it was closed", "open it again")
        # Without this, writes to a file that was deleted, moved or replaced would succeed and be
        # lost, and two processes could give out the same ports. It costs 2 us.
        if self._identity != identity_of(self.path):
            raise LedgerUnavailable(
                self.path,
                "the file was removed or replaced while it was in use",
                "put it back, or restart the agent: it rebuilds the ledger",
            )
        if self._db is None:
            self._db = self._connect()
        return self._db

    def _roll_back(self) -> None:
        try:
            if self._db is not None and self._db.conn.in_transaction:
                self._db.conn.execute("ROLLBACK")
        except sqlite3.Error:
            # A connection that cannot roll back (the disk fails) is of no more use: the next
            # transaction gets a new one, and SQLite rolls back what this one left.
            self._drop()

    def _drop(self) -> None:
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _connect(self) -> Database:
        if not self.path.parent.is_dir():
            raise LedgerUnavailable(
                self.path, "its folder does not exist", "create or mount the folder"
            )
        if self._wal and not self._read_only:
            self._refuse_shared_folder()
        mode = "ro" if self._read_only else "rwc"
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=self._busy_timeout,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            db = Database(connection, execute_plugins=False)
            self._configure(db)
        except (*SQL_ERRORS, LedgerError):
            connection.close()
            raise
        if self._file is None:
            # O_PATH: to close any other descriptor of the file would drop SQLite's locks on it
            # (https://www.sqlite.org/howtocorrupt.html, "POSIX advisory locks").
            self._file = os.open(self.path, os.O_PATH)
            self._identity = identity_of(self._file)
        return db

    def _refuse_shared_folder(self) -> None:
        kind = filesystem_of(self.path.parent)
        if is_shared(kind):
            raise LedgerUnavailable(
                self.path,
                f"its folder is on {kind}, where SQLite's write-ahead log does not work",
                "keep it on a local disk, or set CHALLENGE_LEDGER_WAL=false",
            )

    def _configure(self, db: Database) -> None:
        db.execute("PRAGMA foreign_keys = ON")
        if self._read_only:
            db.execute("PRAGMA query_only = ON")
            return
        # Before the file has its first page; one that is there keeps the size that it has.
        db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        if self._wal is not None:
            self._set_journal_mode(db, "wal" if self._wal else "delete")
        db.execute(f"PRAGMA synchronous = {self._synchronous}")
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")

    def _set_journal_mode(self, db: Database, wanted: str) -> None:
        (mode,) = db.execute(f"PRAGMA journal_mode = {wanted}").fetchone()
        if mode != wanted:
            raise LedgerUnavailable(
                self.path,
                f"SQLite's journal mode is {mode} where {wanted} was asked for",
                "keep it on a local disk, or set CHALLENGE_LEDGER_WAL=false",
            )
