"""Whether a ledger's files are still those that this process has written.

Responsible for looking from outside, by a few stats of 2 us each: it reads and repairs nothing. A
file that was moved or removed lives on for who has it open, so that nothing is lost yet; one that
was written over does not.
"""

import os
from enum import Enum, auto
from pathlib import Path

from controller.ledger.filesystem import identity_of

REMOVED = "the file was removed or replaced while it was in use"
LOG_REMOVED = "the file's write-ahead log was removed or replaced while it was in use"
OVERWRITTEN = "another program has written into the file while it was in use"


class Loss(Enum):
    """What has become of the file under its open connection."""

    NONE = auto()
    """It is in place."""
    AWAY = auto()
    """It, or what SQLite keeps beside it, is not at its path; the connection still has all of
    it."""
    BAD = auto()
    """It is damaged or was written over: nothing in it is to be believed."""


class FileWatch:
    """The file as this process has left it."""

    def __init__(self, path: Path, *, sole_writer: bool) -> None:
        """`sole_writer`: nobody but this process changes the file itself, in WAL mode.

        That is what tells an overwritten file: every change of it is ours, and noted.
        """
        self._path = str(path)
        self._sole_writer = sole_writer
        self._content: tuple[int, int] | None = None
        self._log: tuple[int, int] | None = None
        self.identity: tuple[int, int] | None = None
        """Device and inode of the open file."""

    def opened(self) -> None:
        """The file was opened, or closed: its log is another one now, or there is none."""
        self._log = None
        self.note()

    def note(self) -> None:
        """Remember how this process has left the files: when it has written them."""
        if self._sole_writer and (found := self._found()):
            self._content = found.st_size, found.st_mtime_ns
            self.note_log()

    def note_log(self) -> None:
        """Remember the log, which a new file has from its first transaction on."""
        if self._sole_writer and self._log is None:
            self._log = identity_of(f"{self._path}-wal")

    def look(self) -> str:
        """What has become of the file since, in the words above; empty when nothing has."""
        found = self._found()
        if found is None:
            return REMOVED
        if self._content is None or (found.st_size, found.st_mtime_ns) == self._content:
            return ""
        return OVERWRITTEN

    def look_beside(self) -> str:
        """The same for its log, and the log's index, without which processes do not agree.

        What is written into a log that was removed is not lost yet, so it is enough to look at
        times.
        """
        if self._log is None:
            return ""
        whole = self.has_log() and identity_of(f"{self._path}-shm") is not None
        return "" if whole else LOG_REMOVED

    def has_log(self) -> bool:
        """Whether the log at its path is the one that this process writes."""
        return self._log is not None and identity_of(f"{self._path}-wal") == self._log

    def _found(self) -> os.stat_result | None:
        """The file at the path, if it is the one that is open."""
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found if (found.st_dev, found.st_ino) == self.identity else None
