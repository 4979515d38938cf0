"""The logs of a bed's parts, and how to follow one."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from hack.bed.errors import BedError

# What a part is called before it is asked for by its whole name.
FIRST = {"dockerd": "dockerd-node-1", "containerd": "containerd-node-1"}


def find(folder: Path, part: str) -> Path:
    """The log of a part of the bed in a folder. Raises BedError naming those that there are."""
    known = sorted(path.stem for path in (folder / "logs").glob("*.log"))
    # With several nodes there is a manager and an agent a node, and no `controller`.
    wanted = {"controller": "controller" if "controller" in known else "manager"} | FIRST
    name = wanted.get(part, part)
    if name not in known:
        there = ", ".join(known) or "nothing"
        raise BedError(f"{part} of this bed has logged nothing; what has: {there}")
    return folder / "logs" / f"{name}.log"


def follow(path: Path, emit: Callable[[str], None]) -> None:
    """Hand over each line that is added to a file, until the file goes or Ctrl-C."""
    with path.open(errors="replace") as file:
        file.seek(0, os.SEEK_END)
        while path.exists():
            line = file.readline()
            if line:
                emit(line.rstrip("\n"))
            else:
                time.sleep(0.2)
