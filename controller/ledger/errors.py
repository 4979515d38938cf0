"""The errors that the ledger raises: each with a reason constant and what to do about it.

Responsible for the wording that an operator reads when the ledger cannot do what was asked. It
knows SQLite's error codes, so that nothing above the ledger has to; it opens nothing and logs
nothing.
"""

import sqlite3
from ipaddress import IPv4Network
from pathlib import Path
from typing import ClassVar, Final

from controller.ledger.filesystem import identity_of

# Extended result codes keep the primary one in the low byte: https://www.sqlite.org/rescode.html.
_PRIMARY_CODE = 0xFF


class LedgerError(Exception):
    """Every error of the ledger; `reason` is the constant for conditions and metrics."""

    reason: ClassVar[str] = "LedgerError"


class PortsExhausted(LedgerError):
    """There are fewer free host ports than wanted; nothing was reserved.

    `wanted` and `free` are numbers of ports.
    """

    reason = "PortsExhausted"

    def __init__(self, wanted: int, free: int) -> None:
        super().__init__(
            f"{wanted} host port(s) wanted, {free} free: "
            "wait until instances end, or widen CHALLENGE_PORTS or the ChallengeNode's portRange"
        )
        self.wanted = wanted
        self.free = free


class SubnetsExhausted(LedgerError):
    """The pool has no free subnet of the wanted prefix length; nothing was allocated."""

    reason = "NetworkExhausted"

    def __init__(self, wanted: int, pool: IPv4Network) -> None:
        super().__init__(
            f"no free /{wanted} subnet left in {pool}: "
            "wait until instances end, or widen the range of subnets"
        )
        self.wanted = wanted
        self.pool = pool


class LedgerConflict(LedgerError):
    """The request contradicts what the ledger holds; nothing was changed."""

    reason = "LedgerConflict"


class InstanceNotFound(LedgerError):
    """The ledger has no row for this instance uid."""

    reason = "InstanceNotFound"

    def __init__(self, uid: str) -> None:
        super().__init__(f"the ledger has no instance {uid}: reserve its ports first")
        self.uid = uid


class LedgerUnavailable(LedgerError):
    """The file cannot be read or written now; nothing was half written.

    `path` is the ledger's file. The same call works again when the cause is gone.
    """

    reason = "LedgerUnavailable"

    def __init__(self, path: Path, what: str, remedy: str) -> None:
        super().__init__(f"ledger {path}: {what}; {remedy}")
        self.path = path


REBUILT: Final = "the agent sets it aside and rebuilds the ledger from what runs"
"""What follows for a file that nothing can be believed of."""


class LedgerCorrupt(LedgerUnavailable):
    """The file is damaged or is no ledger.

    Opening it with a range of ports sets it aside and starts a fresh one.
    """

    reason = "LedgerCorrupt"
    inode: tuple[int, int] | None = None
    """Device and inode of the very file, where they are known."""

    def is_at_path(self) -> bool:
        """Whether the bad file is still the one at its path, not one that has replaced it since."""
        return self.inode is None or identity_of(self.path) == self.inode


class LedgerLost(LedgerError):
    """The open ledger is closed, and is to be opened anew: its file was set aside or put back."""

    reason = "LedgerLost"


_REMEDIES = {
    sqlite3.SQLITE_FULL: ("the disk is full", "free space in its folder"),
    sqlite3.SQLITE_READONLY: (
        "the file or its folder is read-only",
        "mount it writable and check the owner of file and folder",
    ),
    sqlite3.SQLITE_READONLY_ROLLBACK: (
        "a process that was killed has left a transaction, which only a writer can undo",
        "start the agent once",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "the file cannot be opened",
        "check that its folder exists and that this user may write in it",
    ),
    sqlite3.SQLITE_PERM: ("access is denied", "check the owner of file and folder"),
    sqlite3.SQLITE_BUSY: (
        "another process holds its lock",
        "end the program that keeps it locked (fuser names it), or raise the busy timeout",
    ),
    sqlite3.SQLITE_LOCKED: ("its tables are locked", "try again"),
    sqlite3.SQLITE_IOERR: (
        "reading or writing failed",
        "check the disk and the kernel's log, and free space in its folder",
    ),
    sqlite3.SQLITE_PROTOCOL: (
        "the file system's locks do not work",
        "keep it on a local disk, or set CHALLENGE_LEDGER_WAL=false",
    ),
}
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


SqlError = sqlite3.Error | UnicodeDecodeError
# The same for `except`. Python decodes even SQLite's messages, which quote a damaged schema.
SQL_ERRORS = (sqlite3.Error, UnicodeDecodeError)


def is_corruption(error: SqlError) -> bool:
    """Whether the file is damaged or is no database, by SQLite's word or by a text's encoding."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None:
        # Python's own decoding, which has no code: "Could not decode to UTF-8 column …".
        return isinstance(error, UnicodeDecodeError) or "decode to UTF-8" in str(error)
    return code & _PRIMARY_CODE in _CORRUPT or "unsupported file format" in str(error)


def translate(path: Path, error: SqlError) -> LedgerError:
    """The ledger's own error for one of SQLite's, naming the file, the cause and the remedy."""
    if isinstance(error, sqlite3.IntegrityError):
        return LedgerConflict(f"ledger {path}: {error}; nothing was changed")
    if is_corruption(error):
        return LedgerCorrupt(path, f"the file is damaged ({error})", REBUILT)
    code: int | None = getattr(error, "sqlite_errorcode", None)
    code = -1 if code is None else code
    what, remedy = _REMEDIES.get(code) or _REMEDIES.get(
        code & _PRIMARY_CODE, ("SQLite failed", "see the cause, then restart the agent")
    )
    return LedgerUnavailable(path, f"{what} ({error})", remedy)
