"""What a bed with pods could leave on a machine."""

import os
from pathlib import Path

from hack.bed.bed import Bed
from hack.bed.kubelet import SETTINGS, SYSCTLS
from hack.bed.leftovers import processes_of_folder
from hack.bed.processes import every_pid

PLACES = ("/var/lib/kubelet", "/var/lib/cni", "/var/log/pods", "/var/log/containers")
"""Where a kubelet and a container runtime write unless they are told otherwise."""


def settings_of_the_machine() -> dict[str, str]:
    """The kernel's settings that a kubelet changes, and whether its folders are there."""
    found = {name: (SETTINGS / name).read_text().strip() for name in SYSCTLS}
    return found | {place: str(Path(place).exists()) for place in PLACES}


def assert_nothing_of(bed: Bed) -> None:
    """No process, mount, cgroup, link, network namespace, socket or folder of a bed is left."""
    folder, links = bed.state.folder, bed.state.network
    assert links is not None
    assert not processes_of_folder(folder)
    assert not folder.exists()
    mounts = (Path(f"/proc/{pid}/mountinfo") for pid in every_pid())
    assert not [path for path in mounts if f"{folder}/" in _text(path)]
    assert not Path(f"/sys/class/net/{links.bridge}").exists()
    assert not Path(f"/run/netns/{links.namespace(1)}").exists()
    cgroups = {name for _, names, _ in os.walk("/sys/fs/cgroup") for name in names}
    assert links.namespace(1) not in cgroups
    assert not [line for line in _text(Path("/proc/net/unix")).splitlines() if f"{folder}/" in line]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
