"""A cgroup for a bed's own use, in every hierarchy of version 1 or in the one of version 2."""

from collections.abc import Callable
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def create(name: str) -> None:
    """Make a cgroup of this path, and those above it, with all controllers that there are."""
    if (ROOT / "cgroup.controllers").exists():
        _create(ROOT, name, _hand_down)
        return
    for hierarchy in ROOT.iterdir():
        if (hierarchy / "tasks").exists() and not hierarchy.is_symlink():
            _create(hierarchy, name, _take_over)


def _create(root: Path, name: str, prepare: Callable[[Path, Path], None]) -> None:
    above = root
    for part in Path(name).parts:
        below = above / part
        below.mkdir(exist_ok=True)
        prepare(above, below)
        above = below


def _hand_down(above: Path, below: Path) -> None:
    """Version 2: those below have the controllers that the one above lets them have."""
    controllers = (above / "cgroup.controllers").read_text().split()
    (above / "cgroup.subtree_control").write_text(" ".join(f"+{each}" for each in controllers))


def _take_over(above: Path, below: Path) -> None:
    """Version 1: no process may enter a cgroup that has not been told of any CPU and memory."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (below / name).exists() and not (below / name).read_text().strip():
            (below / name).write_text((above / name).read_text())
