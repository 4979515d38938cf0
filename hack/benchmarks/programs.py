"""Programs of ours that a benchmark starts without an engine, and what they have used so far."""

import sys
from collections.abc import Mapping
from pathlib import Path

from hack.bed.bed import Bed
from hack.bed.cache import REPOSITORY
from hack.bed.cluster import NAMESPACE
from hack.bed.packages import PATH
from hack.bed.processes import Process, spawn

MEBIBYTE = 2**20


def start(bed: Bed, name: str, *command: str, env: Mapping[str, str] | None = None) -> Process:
    """Start ``python -m command`` with the bed's API server; it ends with this process."""
    return spawn(
        name,
        [sys.executable, "-m", *command],
        log=bed.state.folder / "logs" / f"{name}.log",
        env={
            "PATH": PATH,
            "HOME": str(bed.state.folder),
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONUNBUFFERED": "1",
            "CHALLENGE_KUBECONFIG": str(bed.kubeconfig),
            "CHALLENGE_CONTROLLER_NAMESPACE": NAMESPACE,
            **(env or {}),
        },
        dies_with_parent=True,
    )


def resident(process: Process) -> tuple[float, float]:
    """Memory of a process in MiB: what it has now, and the most that it ever had."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    kilobytes = {line.partition(":")[0]: line.split()[1] for line in lines if "kB" in line}
    now, most = int(kilobytes["VmRSS"]), int(kilobytes["VmHWM"])
    return now * 1024 / MEBIBYTE, most * 1024 / MEBIBYTE
