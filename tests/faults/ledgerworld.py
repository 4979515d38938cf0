"""A node whose ledger is spoiled in every way, and what must be true of its instances then."""

import contextlib
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from controller.runtime import labels
from tests.integration.world import TIMEOUT, Object, World, container, instance, until

NODE: Final = "node-1"
NODES: Final = "/apis/challenge-controller.io/v1alpha1/challengenodes"
BURST: Final = 4
PAGE: Final = 2048

Spoil = Callable[[Path], None]


def file_of(world: World) -> Path:
    """The ledger's file."""
    return world.state_dir / "ledger.db"


def copy_of(path: Path) -> Path:
    """Where the old copy of a ledger is kept."""
    return path.with_name("backup.db")


def back_up(path: Path) -> None:
    """Take a copy as a careful operator does, while the agent runs."""
    with (
        contextlib.closing(sqlite3.connect(path)) as source,
        contextlib.closing(sqlite3.connect(copy_of(path))) as target,
    ):
        source.backup(target)


def remove(path: Path) -> None:
    """The file and all that SQLite keeps beside it go."""
    for file in path.parent.glob("ledger.db*"):
        file.unlink()


def overwrite_with_old(path: Path) -> None:
    """`cp backup.db ledger.db`: the same file, with what it had before."""
    path.write_bytes(copy_of(path).read_bytes())


def replace_by_old(path: Path) -> None:
    """As rsync does: another file of that name, with what the first one had before."""
    other = path.with_name("other.db")
    shutil.copy(copy_of(path), other)
    other.rename(path)


def restore_old(path: Path) -> None:
    """A restored backup of the folder: the old file, and no log."""
    remove(path)
    shutil.copy(copy_of(path), path)


def spoil_header(path: Path) -> None:
    """The first bytes are no database's."""
    with path.open("r+b") as file:
        file.write(b"no ledger" * 20)


def spoil_page(path: Path) -> None:
    """A page in the middle is garbage."""
    middle = path.stat().st_size // PAGE // 2
    with path.open("r+b") as file:
        file.seek(middle * PAGE)
        file.write(b"\xff" * PAGE)


def truncate(path: Path) -> None:
    """The file is there and empty."""
    with path.open("r+b") as file:
        file.truncate(0)


def remove_log(path: Path) -> None:
    """The write-ahead log goes, and the memory that readers share."""
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


class Kept:
    """Instances that run, as they were: they must be so afterwards."""

    def __init__(self, world: World, *names: str) -> None:
        """To be called when they are Ready."""
        self._world = world
        self._names = names
        self._runs = self._look()
        self._ports = {name: world.get(name)["status"]["ports"] for name in names}

    def _look(self) -> dict[str, tuple[str, int]]:
        """When each container was started, by id."""
        listed = self._world.containers()  # others come and go meanwhile
        kept = [c["Id"] for c in listed if c["Labels"][labels.INSTANCE_NAME] in self._names]
        with self._world.docker() as client:
            found = [client.inspect_container(each) for each in kept]
        return {c["Id"]: (c["State"]["StartedAt"], c["RestartCount"]) for c in found}

    def check(self) -> None:
        """Each still runs, was not started again, and answers on the ports that it had."""
        assert self._look() == self._runs
        for name in self._names:
            assert self._world.get(name)["status"]["ports"] == self._ports[name]
            self._world.answers(name)


def pair(name: str, image: str) -> Object:
    """An instance of two containers, which has a network of its own."""
    return instance(name, container(image, "front"), container(image, "back", ports=[]))


def prepare(world: World, image: str) -> Kept:
    """Have a copy of the ledger from before: with one that is gone by now, without who runs."""
    world.apply(pair("gone", image))
    world.wait("Ready", "gone")
    back_up(file_of(world))
    world.delete("gone")
    world.apply(instance("single", container(image)), pair("pair", image))
    world.wait("Ready")
    return Kept(world, "single", "pair")


def burst(world: World, image: str) -> None:
    """Have some launched just now."""
    world.apply(*(instance(f"i{n}", container(image), nodeName=NODE) for n in range(BURST)))


def bound(world: World) -> dict[str, set[int]]:
    """The host ports that each instance's containers are bound to, by name."""
    ports: dict[str, set[int]] = {}
    for each in world.containers():
        name = each["Labels"][labels.INSTANCE_NAME]
        found = {port["PublicPort"] for port in each["Ports"] if port.get("PublicPort")}
        ports.setdefault(name, set()).update(found)
    return ports


def agree(world: World) -> None:
    """Status, engine and ledger say the same of every instance, and no port has two."""
    until(
        lambda: {name: set(row.ports.values()) for name, row in world.rows().items()},
        lambda rows: rows == bound(world),
    )
    held = [port for ports in bound(world).values() for port in ports]
    assert len(held) == len(set(held)) == world.ports_held()
    for name, ports in bound(world).items():
        assert {port["hostPort"] for port in world.get(name)["status"]["ports"]} == ports
        world.answers(name)
    networks = {
        (name, network)
        for each in world.containers()
        for network in each["NetworkSettings"]["Networks"]
        if (name := each["Labels"][labels.INSTANCE_NAME]) in ("pair", "afterwards")
    }
    assert len({network for _, network in networks}) == len(networks), "each has its own"
    assert world.problems() == []


def settle(world: World, kept: Kept, image: str) -> None:
    """Everything is as it should be in the end, for who runs, who was launched, and who is new."""
    wait_for_node(world, "LedgerHealthy=True")
    world.apply(pair("afterwards", image))
    world.wait("Ready")
    kept.check()
    agree(world)
    assert world.node_condition("Ready")["status"] == "True"


def wait_for_node(world: World, condition: str) -> None:
    """Wait for a condition of the node."""
    words = ["wait", f"chnode/{NODE}", f"--for=condition={condition}", f"--timeout={TIMEOUT:.0f}s"]
    world.kubectl(*words, timeout=TIMEOUT + 30)


@contextmanager
def told_by_the_node(world: World, condition: str) -> Iterator[None]:
    """See that the node says so at some time while the block runs or after, however briefly."""
    kind, _, value = condition.partition("=")
    begun = json.loads(world.kubectl("get", "--raw", NODES).stdout)["metadata"]["resourceVersion"]
    yield
    until(lambda: _said_since(world, begun, kind), lambda values: value in values)


def _said_since(world: World, begun: str, kind: str) -> set[str]:
    """All values of a condition of the node that were written since that resourceVersion."""
    query = f"watch=1&resourceVersion={begun}&timeoutSeconds=1"
    lines = world.kubectl("get", "--raw", f"{NODES}?{query}").stdout.splitlines()
    return {
        each["status"]
        for read in (json.loads(line)["object"] for line in lines)
        if read["metadata"]["name"] == NODE
        for each in read.get("status", {}).get("conditions", [])
        if each["type"] == kind
    }


def mount(*words: str | Path) -> None:
    """Mount something; raises CalledProcessError."""
    subprocess.run(["mount", *map(str, words)], check=True, timeout=20)


def unmount(folder: Path) -> None:
    """Undo it, whoever still uses it."""
    subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=20)


@contextmanager
def immutable(*paths: Path) -> Iterator[None]:
    """Files and folders that nobody can write, root included (chattr, ext4)."""
    words: list[Any] = ["chattr"]
    subprocess.run([*words, "+i", *map(str, paths)], check=True, timeout=20)
    try:
        yield
    finally:
        subprocess.run([*words, "-i", *map(str, paths)], check=True, timeout=20)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder on a mount that is read-only; nobody may have a file of it open for writing."""
    mount("--bind", folder, folder)
    try:
        mount("-o", "remount,bind,ro", folder)
        yield
    finally:
        unmount(folder)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Not a byte is left on the folder's disk, which is a small one."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 4096)
        yield
    finally:
        ballast.unlink()
