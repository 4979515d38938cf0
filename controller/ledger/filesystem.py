"""Where the ledger's file lies: the kind of its file system, and how a bad file is set aside.

Responsible for what is asked of the operating system; it opens no database.
"""

import os
from datetime import datetime
from pathlib import Path

# Memory maps and locks of these do not reach from one host to another, which SQLite's write-ahead
# log needs: https://www.sqlite.org/wal.html ("must be on the same host computer").
_SHARED = frozenset(
    {"9p", "afs", "ceph", "cifs", "glusterfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"}
    | {"fuse.ceph", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs"}
)
_MOUNTS = Path("/proc/self/mountinfo")


def identity_of(file: Path | str | int) -> tuple[int, int] | None:
    """Device and inode of the file at a path, or of an open one; None when there is none."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_shared(kind: str | None) -> bool:
    """Whether a file system of this kind may be used from several hosts."""
    return kind in _SHARED


def filesystem_of(folder: Path, mounts: str | None = None) -> str | None:
    """The kind of the file system that holds the folder, None where that cannot be told.

    `mounts` is the text of /proc/self/mountinfo (`man 5 proc`), read from there when None.
    """
    if mounts is None:
        try:
            mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return None
    target = folder.resolve()
    kind: str | None = None
    deepest = -1
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        # Spaces in a path are written as \040.
        point = Path(before.split(" ")[4].replace("\\040", " "))
        # A later line of the same mount point lies over the earlier one.
        if target.is_relative_to(point) and len(point.parts) >= deepest:
            deepest, kind = len(point.parts), after.split(" ")[0]
    return kind


def set_aside(path: Path, *, today: datetime, why: str = "corrupt", alone: bool = False) -> Path:
    """Rename the file and what SQLite keeps beside it to a dated name, which is returned.

    `alone` leaves what is beside it where it is. Nothing is deleted. Raises OSError when the folder
    does not allow it.
    """
    stamp = today.strftime("%Y-%m-%dT%H-%M-%SZ")
    aside = path.with_name(f"{path.name}.{why}-{stamp}")
    count = 1
    while aside.exists():
        count += 1
        aside = path.with_name(f"{path.name}.{why}-{stamp}-{count}")
    # The file goes first: a log without its file is dropped by SQLite, a file without its log
    # would have lost transactions.
    os.rename(path, aside)
    for suffix in () if alone else ("-wal", "-shm", "-journal"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            os.rename(beside, aside.with_name(aside.name + suffix))
    return aside
