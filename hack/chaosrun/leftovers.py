"""What is left of a bed on this machine after it was taken down; there must be nothing."""

from pathlib import Path

from hack.bed.foreign import LOCKS
from hack.bed.leftovers import processes_of_folder
from hack.bed.network import namespace_exists
from hack.bed.state import BedState


def left_behind(state: BedState) -> list[str]:
    """A line for each process, lock, folder, mount and namespace of a bed that is still there."""
    found = [f"process {each.name} ({each.pid})" for each in processes_of_folder(state.folder)]
    found += [f"lock {path}" for path in LOCKS.glob(f"challenge-controller-{state.name}-*")]
    found += [f"folder {state.folder}"] if state.folder.exists() else []
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found += [f"mount {line.split()[4]}" for line in mounts if f"{state.folder}/" in line]
    links = state.network
    if links is not None:
        names = [links.namespace(node.number) for node in state.nodes]
        found += [f"namespace {name}" for name in names if namespace_exists(name)]
    return [f"left after the bed was taken down: {text}" for text in found]
