"""How full the disks are that instances fill: the engine's own, and the one of the state folder.

Decides nothing but whether a disk is short of room; what follows from that is the manager's.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

EASE: Final = 2
"""Percent more than the reserve that must be free before a shortage is over: it must not flicker
with each image that is pulled."""
GIB: Final = 2**30


@dataclass(frozen=True)
class Disk:
    """A file system: bytes and inodes, `inodes` 0 where it has no fixed number of them."""

    path: Path
    size: int
    free: int
    inodes: int
    inodes_free: int


def look(paths: Iterable[Path]) -> list[Disk]:
    """The file systems of the folders, each once; one that cannot be seen is left out. Blocks."""
    found: dict[int, Disk] = {}
    for path in paths:
        try:
            device, stat = os.stat(path).st_dev, os.statvfs(path)
        except OSError:
            continue  # an engine whose folder is not mounted into the agent's container
        found.setdefault(
            device,
            Disk(
                path=path,
                size=stat.f_blocks * stat.f_frsize,
                free=stat.f_bavail * stat.f_frsize,
                inodes=stat.f_files,
                inodes_free=stat.f_favail,
            ),
        )
    return list(found.values())


def shortages(disks: Iterable[Disk], *, reserve: int, before: bool) -> str:
    """What the disks are short of, for people; empty when each has room.

    ``reserve`` is the percentage of the space that must be free, half of it of the inodes; 0 for
    none. ``before``: they were short of room at the last look.
    """
    if not reserve:
        return ""
    wanted = reserve + (EASE if before else 0)
    short = []
    for disk in disks:
        if disk.free * 100 < disk.size * wanted:
            short.append(
                f"{disk.path}: {disk.free / GIB:.1f} of {disk.size / GIB:.1f} GiB are free, "
                f"expected {wanted} %"
            )
        if disk.inodes_free * 100 < disk.inodes * wanted / 2:
            short.append(
                f"{disk.path}: {disk.inodes_free} of {disk.inodes} inodes are free, "
                f"expected {wanted / 2:g} %"
            )
    if not short:
        return ""
    return "; ".join(short) + (
        ". No new instances come here until then: remove images that nobody needs (docker image "
        "prune --all), enlarge the disk, or lower CHALLENGE_DISK_RESERVE"
    )
