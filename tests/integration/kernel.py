"""What the kernel says of a container's first process: its limits, rights and cgroups."""

from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def status(pid: int, field: str) -> str:
    """A field of /proc/PID/status, such as NoNewPrivs."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return value.strip()
    raise LookupError(f"/proc/{pid}/status has no {field}")


def has_capability(pid: int, number: int) -> bool:
    """Whether the process, or one that it starts, can have the capability of that number."""
    return bool(int(status(pid, "CapBnd"), 16) & (1 << number))


def open_files(pid: int) -> tuple[int, int]:
    """The soft and the hard limit of open files."""
    for line in Path(f"/proc/{pid}/limits").read_text().splitlines():
        if line.startswith("Max open files"):
            soft, hard = line.split()[3:5]
            return int(soft), int(hard)
    raise LookupError(f"/proc/{pid}/limits has no open files")


def cgroup(pid: int) -> str:
    """The path of the process' cgroup: of its pids, where each controller has a path of its own."""
    lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    by_name = {name: path for _, names, path in lines for name in names.split(",")}
    return by_name.get("pids", by_name.get("", ""))


def limits(pid: int) -> tuple[int, int, float]:
    """Memory in bytes, number of processes and CPUs that the process' cgroup has."""
    path = cgroup(pid).lstrip("/")
    if (CGROUPS / "cgroup.controllers").exists():
        folder = CGROUPS / path
        quota, period = (folder / "cpu.max").read_text().split()
        memory = (folder / "memory.max").read_text()
        return int(memory), int((folder / "pids.max").read_text()), int(quota) / int(period)
    read = {
        name: int((CGROUPS / name.partition(".")[0] / path / name).read_text())
        for name in ("memory.limit_in_bytes", "pids.max", "cpu.cfs_quota_us", "cpu.cfs_period_us")
    }
    cpus = read["cpu.cfs_quota_us"] / read["cpu.cfs_period_us"]
    return read["memory.limit_in_bytes"], read["pids.max"], cpus
