"""The machine that a figure was measured on, to be printed beside it."""

import os
import platform
import sqlite3
from pathlib import Path


def describe() -> str:
    """Processors, their model, and the versions that matter, in one line."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    return (
        f"{cores} cores ({model}), load {load:.1f}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}"
    )
