"""A folder whose content somebody hostile may have written: measured, and removed.

Responsible for coming to an end and staying inside whatever is in it: links are never followed,
chains of folders of any depth are removed, files that were made immutable too. It must not know
what the folder is for.
"""

import fcntl
import os
import stat
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ENTRY_BYTES: Final = 1024
"""What each file and folder counts for at least: a file system gives out an inode for some 16 KiB,
so that empty files can fill it too."""
MOST_ENTRIES: Final = 250_000
"""Files and folders that are counted, in about a second."""
MOST_DEPTH: Final = 64
"""Folders in each other that are gone into; each holds a file descriptor meanwhile."""

# linux/fs.h; the flags of chattr(1) +i and +a, which a container with LINUX_IMMUTABLE can set.
_GET_FLAGS: Final = 0x80086601
_SET_FLAGS: Final = 0x40086602
_FIXED: Final = 0x10 | 0x20
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Enough(Exception):
    """No further look is needed."""


@dataclass
class _Tally:
    enough: int
    used: int = 0
    entries: int = 0
    linked: set[int] = field(default_factory=set)

    def add(self, found: os.stat_result) -> None:
        self.entries += 1
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            if found.st_ino in self.linked:
                return
            self.linked.add(found.st_ino)
        self.used += max(found.st_blocks * 512, ENTRY_BYTES)
        if self.used > self.enough or self.entries > MOST_ENTRIES:
            raise _Enough


def usage(folder: Path, enough: int) -> int | None:
    """The bytes on disk of what is in a folder, counted until they are more than `enough`.

    Each entry counts for 1 KiB at least, what has several names once. None when there are more
    than 250,000 entries, or folders more than 64 deep. What vanishes meanwhile is left out. Raises
    FileNotFoundError, OSError.
    """
    tally = _Tally(enough)
    top = os.open(folder, _FOLDER)
    try:
        _count(top, tally, 0)
    except _Enough:
        return tally.used if tally.used > enough else None
    finally:
        os.close(top)
    return tally.used


def _count(folder: int, tally: _Tally, depth: int) -> None:
    if depth > MOST_DEPTH:
        raise _Enough
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                tally.add(entry.stat(follow_symlinks=False))
                if not entry.is_dir(follow_symlinks=False):
                    continue
                inner = os.open(entry.name, _FOLDER, dir_fd=folder)
            except (FileNotFoundError, NotADirectoryError):
                continue  # gone, or another thing by now
            try:
                _count(inner, tally, depth + 1)
            finally:
                os.close(inner)


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it; done when there is none. Raises OSError."""
    parent = os.open(folder.parent, _FOLDER)
    try:
        top = os.open(folder.name, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        os.close(parent)
        return
    try:
        while names := os.listdir(top):
            for name in names:
                _remove_entry(top, name)
        _forced(lambda: os.rmdir(folder.name, dir_fd=parent), top)
    finally:
        os.close(top)
        os.close(parent)


def _remove_entry(top: int, name: str) -> None:
    """Remove what is no folder, and a folder after its own folders were moved to the top.

    So no path gets long, and no more than one folder is open, however deep they are.
    """
    try:
        inner = os.open(name, _FOLDER, dir_fd=top)
    except NotADirectoryError:
        _forced(lambda: os.unlink(name, dir_fd=top), top, name)
        return
    try:
        with os.scandir(inner) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for child, is_folder in found:
            if is_folder:
                _forced(_mover(child, inner, top), inner, child)
            else:
                _forced(_unlinker(child, inner), inner, child)
        _forced(lambda: os.rmdir(name, dir_fd=top), top, name)
    finally:
        os.close(inner)


def _mover(child: str, inner: int, top: int) -> Callable[[], None]:
    free = f".{uuid.uuid4().hex}"
    return lambda: os.rename(child, free, src_dir_fd=inner, dst_dir_fd=top)


def _unlinker(child: str, inner: int) -> Callable[[], None]:
    return lambda: os.unlink(child, dir_fd=inner)


def _forced(change: Callable[[], None], folder: int, name: str | None = None) -> None:
    """Do it; when it is not permitted, again without the flags that forbid it."""
    try:
        return change()
    except PermissionError:
        _unfix(folder)
    if name is not None and _can_have_flags(os.stat(name, dir_fd=folder, follow_symlinks=False)):
        entry = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            _unfix(entry)
        finally:
            os.close(entry)
    return change()


def _can_have_flags(found: os.stat_result) -> bool:
    """Whether it can be opened for its flags: opening a device can set it going."""
    return stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)


def _unfix(opened: int) -> None:
    try:
        answer = fcntl.ioctl(opened, _GET_FLAGS, bytes(8))
        flags = struct.unpack("l", answer)[0]
        if flags & _FIXED:
            fcntl.ioctl(opened, _SET_FLAGS, struct.pack("l", flags & ~_FIXED))
    except OSError:
        return  # no flags on this file system, or no right to change them: the removal tells
