"""One agent per engine: a lock file on the engine's host.

The kernel drops the lock with the process, however it ends, so there is never a stale one.
"""

import errno
import fcntl
import logging
import os
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

LOCK_FOLDER: Final = Path("/run/lock")


_NO_FOLDER: Final = (errno.EROFS, errno.ENOENT, errno.EACCES)


class AlreadyRunning(Exception):
    """Another agent holds the lock; the text names it and says what to do."""


class HostLock:
    """Held from ``acquire`` to ``release`` or the end of the process."""

    def __init__(self, path: Path) -> None:
        """``path`` is a file that is made if need be and never removed."""
        self._path = path
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock; raises AlreadyRunning, OSError."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(fd, 200).decode(errors="replace").strip()
            os.close(fd)
            raise AlreadyRunning(
                f"Another agent ({holder or 'of unknown process id'}) holds {self._path}; "
                "stop it first, or give this one a folder and an engine of its own"
            ) from None
        os.ftruncate(fd, 0)
        os.write(fd, f"process {os.getpid()}\n".encode())
        self._fd = fd

    def release(self) -> None:
        """Give the lock up; doing so twice is fine."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def engine_lock(installation: str, engine_id: str) -> HostLock:
    """The lock for an engine's agent of one installation, wherever its state folder is."""
    safe = "".join(c if c.isalnum() else "-" for c in engine_id)
    return HostLock(LOCK_FOLDER / f"challenge-controller-{installation}-{safe}.lock")


def take(lock: HostLock) -> None:
    """Acquire an engine's lock where its folder can be written; raises AlreadyRunning, OSError.

    In a container without the host's folder there is nobody to see the lock. That is said, and the
    state folder's lock and the node's Lease have to do.
    """
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in _NO_FOLDER:
            raise
        logger.warning(
            "Cannot lock the engine in %s (%s): mount the host's folder there, so that a second "
            "agent with another state folder is refused at once",
            *(LOCK_FOLDER, os.strerror(error.errno).lower()),
        )
