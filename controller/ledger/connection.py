"""One SQLite connection, shared by the threads of a process, one transaction at a time.

Responsible for BEGIN, COMMIT and ROLLBACK, for noticing that the file is not what it was, and for
turning SQLite's errors into the ledger's. It knows no table. SQLite has a single writer, so a lock
around one connection costs nothing over a connection for each thread, and threads wait for each
other here rather than by polling the file's lock. An object is not to be carried over a fork.
"""

import os
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from sqlite_utils import Database

from controller.ledger.errors import (
    REBUILT,
    SQL_ERRORS,
    LedgerCorrupt,
    LedgerLost,
    LedgerUnavailable,
    translate,
)
from controller.ledger.filesystem import identity_of
from controller.ledger.putback import put_back
from controller.ledger.sqlitefile import Way, connect
from controller.ledger.watch import OVERWRITTEN, FileWatch, Loss

_CHECKPOINT = 200
"""Transactions that have written something after which the log is brought into the file: some 2 MB,
as by SQLite itself, but at a time that is known."""
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
        sole_writer: bool = False,
    ) -> None:
        """Open the file, which is created if it is not there and `read_only` is not set.

        `busy_timeout` is in seconds; `wal` None keeps the file's journal mode, and leaves the
        file's log for others to write into it; `sole_writer` says that these others are this
        process alone. Raises ValueError for a setting out of bounds, LedgerUnavailable, and
        LedgerCorrupt when the file is no database.
        """
        self._alone = sole_writer and bool(wal)
        self._way = Way(
            busy_timeout=busy_timeout,
            wal=wal,
            synchronous=synchronous,
            read_only=read_only,
            # One that saw the file change in the middle of its own work, or by another process,
            # could not tell it from being written over.
            checkpoints=wal is not None and not self._alone,
        )
        self._commits = 0
        self.path = path
        self.problem = ""
        """Why the last transaction failed that could not be read or written, until one has written
        something: to read proves little while the disk is full."""
        self._changes = 0
        self.write = Transaction(self, _WRITE)
        self.read = Transaction(self, _READ)
        self._lock = threading.Lock()
        self._file: int | None = None
        self._watch = FileWatch(path, sole_writer=self._alone)
        self._damage = ""
        self._beside = ""
        """What has become of the log, by the last `look`."""
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
        return self._watch.identity

    def close(self) -> None:
        """Close the connection; once more is fine."""
        with self._lock:
            self._close()

    def look(self) -> Loss:
        """See whether the file is in place and whole, and note it as the problem if it is not."""
        with self._lock:
            if self._file is None:
                return Loss.NONE
            self._beside = self._watch.look_beside()
            try:
                self._require_in_place()
            except LedgerCorrupt as error:
                self.problem = str(error)
                return Loss.BAD
            except LedgerUnavailable as error:
                self.problem = str(error)
                return Loss.AWAY
            return Loss.NONE

    def put_back(self) -> Path | None:
        """Write what the connection has to the path, when `look` says that its file is away.

        Returns where what lay there instead was moved to. Raises LedgerUnavailable, LedgerCorrupt
        when the connection has nothing to believe in any more, and LedgerLost when the file is
        there again and cannot be opened: then this connection is closed.
        """
        with self._lock:
            if self._db is None or self._damage:
                raise LedgerCorrupt(self.path, "its content is lost", REBUILT)
            try:
                aside = put_back(self._db, self.path, has_log=self._watch.has_log())
            except sqlite3.Error as error:
                raise translate(self.path, error) from error
            except OSError as error:
                raise LedgerUnavailable(
                    self.path, f"it cannot be put back ({error})", "check its folder"
                ) from error
            self._close()
            try:
                self._db = self._connect()
            except (*SQL_ERRORS, OSError) as error:
                # The file is whole; this connection is closed, and would seem so for ever.
                raise LedgerLost(
                    f"ledger {self.path}: put back, but not opened: {error}"
                ) from error
            self._beside = ""
            return aside

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
                if self._db.conn.total_changes != self._changes:
                    self.problem = ""
                    self._commits += 1
                    self._watch.note_log()
                    if self._alone and self._commits >= _CHECKPOINT:
                        self._checkpoint()
            told = error if error is None else self._told(error)
        except SQL_ERRORS as refused:
            error, told = refused, self._told(refused)
        finally:
            # Also after a commit that something else cut short, such as Ctrl-C.
            self._roll_back()
            self._lock.release()
        if told is not None and told is not error:
            raise told from error

    def _checkpoint(self) -> None:
        """Bring the log into the file, which is then noted as changed by ourselves."""
        if self._db is None or self._watch.look():
            return  # somebody else has written into it: the next transaction says so
        with suppress(sqlite3.Error):  # what was committed is safe; it is tried again
            self._db.conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self._commits = 0
        self._watch.note()

    def _told(self, error: BaseException) -> BaseException:
        """The ledger's own error for one of SQLite's; noted, if it is about the file."""
        told = translate(self.path, error) if isinstance(error, SQL_ERRORS) else error
        if isinstance(told, LedgerUnavailable):
            self.problem = str(told)
        if told is not error and isinstance(told, LedgerCorrupt):
            # For good: what can still be read may be wrong, and would give a held port away.
            self._damage = f"the file is damaged ({error})"
        return told

    def _usable(self) -> Database:
        """The open connection, if its file is still there."""
        if self._file is None:
            raise LedgerUnavailable(self.path, "it was closed", "open it again")
        # Without this, writes to a file that was deleted, moved or replaced would succeed and be
        # lost, and two processes could give out the same ports. It costs 2 us.
        self._require_in_place()
        if self._db is None:
            self._db = self._connect()
        return self._db

    def _require_in_place(self) -> None:
        """Raise for what a look at the file finds, and for what earlier ones have found."""
        changed = self._watch.look() or self._beside
        if changed == OVERWRITTEN:
            self._damage = self._damage or changed
        if self._damage:
            raise LedgerCorrupt(self.path, self._damage, REBUILT)
        if changed:
            raise LedgerUnavailable(
                self.path, changed, "put it back; an agent that has it open soon does so by itself"
            )

    def _roll_back(self) -> None:
        try:
            if self._db is not None and self._db.conn.in_transaction:
                self._db.conn.execute("ROLLBACK")
        except sqlite3.Error:
            # A connection that cannot roll back (the disk fails) is of no more use: the next
            # transaction gets a new one, and SQLite rolls back what this one left.
            self._drop()

    def _close(self) -> None:
        self._drop()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _drop(self) -> None:
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None
            self._watch.opened()  # the last one to close the file brings its log into it

    def _connect(self) -> Database:
        db = connect(self.path, self._way)
        if self._file is None:
            # O_PATH: to close any other descriptor of the file would drop SQLite's locks on it
            # (https://www.sqlite.org/howtocorrupt.html, "POSIX advisory locks").
            self._file = os.open(self.path, os.O_PATH)
            self._watch.identity = identity_of(self._file)
        self._watch.opened()
        return db
