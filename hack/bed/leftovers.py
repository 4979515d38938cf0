"""What a Docker engine that was ended by force leaves behind, found and removed.

dockerd, killed, leaves its shims, the containers' processes, their mounts, cgroups and sockets. All
of them can be told by the engine's folder or its network namespace; nothing else is touched.
"""

import contextlib
import hashlib
import os
import re
import signal
import time
from pathlib import Path

from hack.bed.errors import BedError
from hack.bed.processes import Process, by_pid, command_line, every_pid, run

# With a version at their end where the bed has built them.
PROGRAMS = re.compile(
    r"(etcd|kube-apiserver|kube-controller-manager|kube-scheduler|kubelet"
    r"|dockerd|containerd|containerd-shim-runc)(-v[\w.-]+)?$"
)
KILL_TIMEOUT = 60.0
CGROUP_TIMEOUT = 10.0


def processes_of_folder(folder: Path) -> list[Process]:
    """Programs of a bed's kind that were started with a path in this folder."""
    found = []
    for pid in every_pid():
        words = command_line(pid)
        # Somebody may read a log of the bed with `less`: only a bed's own programs are ended.
        if words[1:2] == ["-m"]:
            environment = _environment(pid)
            is_ours = "CHALLENGE_STATE_DIR=" in environment and f"={folder}/" in environment
        else:
            is_ours = bool(PROGRAMS.match(Path(words[0]).name if words else "")) and any(
                f"{folder}/" in word for word in words
            )
        process = by_pid(pid, Path(words[0]).name) if is_ours else None
        if process is not None:
            found.append(process)
    return found


def processes_of_engine(folder: Path, namespace: str | None) -> list[Process]:
    """All processes in a node's network namespace, and those of containers stored in a folder."""
    inode = _inode(Path(f"/run/netns/{namespace}")) if namespace else None
    found = []
    for pid in every_pid():
        if pid == os.getpid():
            continue
        inside = inode is not None and _inode(Path(f"/proc/{pid}/ns/net")) == inode
        if inside or _root_is_in(pid, folder):
            process = by_pid(pid, "process of the engine")
            if process is not None:
                found.append(process)
    return found + processes_of_folder(folder)


def kill_engine_processes(folder: Path, namespace: str | None) -> None:
    """End everything that an engine has started, until nothing is left.

    Raises BedError when something survives for a minute.
    """
    deadline = time.monotonic() + KILL_TIMEOUT
    # Again until none is found: a shim that is about to die may still start something.
    while found := processes_of_engine(folder, namespace):
        if time.monotonic() > deadline:
            pids = ", ".join(str(process.pid) for process in found)
            raise BedError(f"processes of the engine in {folder} survive SIGKILL: {pids}")
        for process in found:
            process.signal(signal.SIGKILL)
        for process in found:
            process.wait(0.2)


def unmount_below(folder: Path) -> None:
    """Unmount everything that is mounted below a folder, the innermost first."""
    for _ in range(5):
        points = [point for point in _mount_points() if point.is_relative_to(folder)]
        if not points:
            return
        for point in sorted(points, key=lambda point: len(point.parts), reverse=True):
            run("umount", "--lazy", point, check=False)


def remove_container_traces(
    cgroups: list[str], containers: list[str], containerd_socket: Path
) -> None:
    """Remove the empty cgroups of these names, and the shims' sockets of these containers."""
    deadline = time.monotonic() + CGROUP_TIMEOUT
    for path, folders, _ in os.walk("/sys/fs/cgroup", topdown=False):
        for name in set(folders).intersection(cgroups):
            _remove_cgroup(Path(path) / name, deadline)
    for container in containers:
        # How containerd names them: pkg/shim's SocketAddress, in Docker's namespace "moby".
        text = os.path.join(containerd_socket, "moby", container)
        name = hashlib.sha256(text.encode()).hexdigest()
        Path(f"/run/containerd/s/{name}").unlink(missing_ok=True)


def _remove_cgroup(folder: Path, deadline: float) -> None:
    """Remove it and those below: each is busy for a moment after its last process has gone."""
    while folder.exists():
        for path, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(OSError):
                Path(path).rmdir()
        if time.monotonic() > deadline:
            return  # an empty one harms nobody
        time.sleep(0.02)


def _mount_points() -> list[Path]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [Path(line.split()[4].encode().decode("unicode_escape")) for line in lines]


def _root_is_in(pid: int, folder: Path) -> bool:
    """Whether the root file system of a process is an overlay stored in this folder."""
    try:
        lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    except OSError:
        return False
    return any(line.split()[4] == "/" and f"upperdir={folder}/" in line for line in lines)


def _environment(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _inode(path: Path) -> tuple[int, int] | None:
    """What tells one namespace from another: device and inode of its file."""
    try:
        found = path.stat()
        return found.st_dev, found.st_ino
    except OSError:
        return None
