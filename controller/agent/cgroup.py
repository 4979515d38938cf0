"""The operator's limit on the memory of all instances together: their cgroup's own.

Reads files of the kernel's, and blocks. The limit itself is the operator's to set.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
UNLIMITED: Final = 2**60
"""Bytes; what cgroup v1 says of one without a limit is a little less than 2^63."""


def memory_limit(parent: str, version: str, root: Path = ROOT) -> int | None:
    """The least limit of the cgroup and those above it, in bytes; None when none has one.

    ``parent`` is a path below the cgroup root or a slice's name, ``version`` the engine's: 1 or 2.
    """
    if version == "2":
        base, file = root, "memory.max"
    else:
        base, file = root / "memory", "memory.limit_in_bytes"
    limits = [_read(folder / file) for folder in _with_those_above(base, parent)]
    return min((limit for limit in limits if limit is not None), default=None)


def _with_those_above(base: Path, parent: str) -> Iterator[Path]:
    """The folders on the way to the cgroup, its own last; see systemd.slice(5) for slices."""
    names = parent.strip("/").split("/")
    if parent.endswith(".slice"):
        parts = names[-1].removesuffix(".slice").split("-")
        names = ["-".join(parts[: end + 1]) + ".slice" for end in range(len(parts))]
    for name in names:
        base = base / name
        yield base


def _read(file: Path) -> int | None:
    try:
        limit = int(file.read_text())
    except (OSError, ValueError):  # no such cgroup yet, or "max"
        return None
    return limit if limit < UNLIMITED else None
