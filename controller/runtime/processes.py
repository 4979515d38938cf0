"""The processes of an engine's containers, as the kernel has them.

dockerd that is killed in the moment in which it starts a container does not know, when it is back,
that the container runs: it gives the container's address away, and a removal leaves the process
(20.10; its restore passes over containers that it has not noted as running). The kernel tells which
container a process is of by its cgroup, and by its root which engine's. Everything here blocks.
"""

import contextlib
import os
import re
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
# The last part of a container's cgroup: its id, or "docker-ID.scope" with the systemd driver.
_CONTAINER = re.compile(r"/(?:docker-)?([0-9a-f]{64})(?:\.scope)?(?:/|$)")


def alive(parent: str, root: str, proc: Path = PROC) -> dict[str, list[int]]:
    """The processes below a cgroup whose root file system is in an engine's folder, by container.

    ``parent`` is a path below the cgroup root or a slice's name, ``root`` the engine's data folder.
    Processes of another PID namespace are not seen, nor those of a storage driver other than
    overlay2.
    """
    found: dict[str, list[int]] = {}
    for pid in (int(entry.name) for entry in proc.iterdir() if entry.name.isdecimal()):
        container = _container(pid, parent, proc)
        if container and _is_rooted_in(pid, root, proc):
            found.setdefault(container, []).append(pid)
    return found


def kill(container: str, pids: Iterable[int], parent: str, proc: Path = PROC) -> int:
    """Kill those that are still processes of the container; how many."""
    killed = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            try:
                # Only now is it certain that the number is not of somebody else's.
                if _container(pid, parent, proc) == container:
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    killed += 1
            finally:
                os.close(handle)
    return killed


def _container(pid: int, parent: str, proc: Path) -> str | None:
    """The container whose cgroup the process is in, if that is below the parent."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        path = line.split(":", 2)[-1]
        _, below, rest = path.partition(f"/{parent.strip('/')}/")
        if below and (match := _CONTAINER.search(f"/{rest}")):
            return match.group(1)
    return None


def _is_rooted_in(pid: int, root: str, proc: Path) -> bool:
    try:
        lines = (proc / str(pid) / "mountinfo").read_text().splitlines()
    except OSError:
        return False
    return any(f",upperdir={root}/" in line for line in lines if line.split()[4] == "/")
