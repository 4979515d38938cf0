"""The logs of a bed's parts, and how to follow one."""

import os
import time
from collections.abc import Callable
from pathlib import Path

LOGS = {
    "controller": "controller.log",
    "etcd": "etcd.log",
    "apiserver": "apiserver.log",
    "dockerd": "dockerd.log",
    "containerd": "containerd.log",
}


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
