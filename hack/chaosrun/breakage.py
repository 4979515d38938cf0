"""Breaks parts of a bed and puts them right again, one kind of fault after the other.

To be called from the main thread alone: what it starts again ends with the thread that has started
it.
"""

import errno
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import docker.errors
import requests

from hack.bed import skewed
from hack.bed.engine import docker_client
from hack.bed.errors import BedError, ProgramFailed
from hack.bed.fleet import MANAGER, Fleet, agent_name
from hack.bed.processes import Process, by_pid, run
from hack.bed.running import RunningController
from hack.chaosrun.kinds import ALL_NODES
from hack.chaosrun.plan import Step

Undo = Callable[[], None]

FILLER: Final = "filler"
DISK: Final = "16m"
"""Size of the disk of an agent's state folder."""
DOCKER_TIMEOUT: Final = 3
THAW: Final = 30.0
"""Seconds that an engine which was frozen is given to answer again."""


@dataclass(frozen=True)
class Broken:
    """What a fault has done, in words, and what puts it right."""

    text: str
    undo: Undo


class Breakage:
    """The faults of a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        """Its agents run `hack.bed.skewed`, with `small_disks` below them."""
        self._fleet = fleet
        self._plane = fleet.bed.control_plane
        self._kinds: dict[str, Callable[[Step], Broken]] = {
            "agent-kill": self._kill,
            "agent-freeze": self._freeze,
            "manager-kill": self._kill,
            "manager-freeze": self._freeze,
            "dockerd-kill": lambda step: self._end_engine(step, in_order=False),
            "dockerd-restart": lambda step: self._end_engine(step, in_order=True),
            "dockerd-freeze": self._freeze_engine,
            "etcd-kill": self._kill_etcd,
            "etcd-freeze": lambda step: _freeze(self._plane.state.etcd),
            "apiserver-kill": self._kill_apiserver,
            "apiserver-freeze": lambda step: _freeze(self._plane.state.apiserver),
            "container-kill": self._kill_container,
            "container-freeze": self._freeze_container,
            "container-remove": self._remove_container,
            "link-cut": self._cut,
            "disk-full": self._fill,
            "clock-jump": self._jump,
            "watch-drop": self._drop,
        }

    def begin(self, step: Step) -> Broken:
        """Do it; raises BedError when there is nothing to be broken."""
        return self._kinds[step.kind](step)

    def heal(self) -> None:
        """Put everything right, whatever was broken; raises BedError for what does not come up."""
        for process in (self._plane.state.etcd, self._plane.state.apiserver):
            if process is not None:
                process.signal(signal.SIGCONT)
        self._start_control_plane()
        for number in self._fleet.numbers:
            self._fleet.agent(number).thaw()
            filler(self._fleet.agent(number).state_dir).unlink(missing_ok=True)
            skewed.set_shift(self._fleet.agent(number).state_dir, 0)
            self._start_engine(number)
        skewed.set_shift(self._fleet.manager.state_dir, 0)
        self._fleet.heal()

    # -- controllers -------------------------------------------------------------------------------

    def _controller(self, step: Step) -> RunningController:
        if step.target == MANAGER:
            return self._fleet.manager
        return self._fleet.agent(self._number(step))

    def _number(self, step: Step) -> int:
        return next(n.number for n in self._fleet.bed.state.nodes if n.name == step.target)

    def _kill(self, step: Step) -> Broken:
        controller = self._controller(step)
        controller.kill()

        def start() -> None:
            if not controller.alive():
                controller.start_again()

        return Broken(f"pid {controller.process.pid} killed", start)

    def _freeze(self, step: Step) -> Broken:
        return _freeze(self._controller(step).process)

    # -- engines -----------------------------------------------------------------------------------

    def _end_engine(self, step: Step, *, in_order: bool) -> Broken:
        number = self._number(step)
        engine = self._fleet.bed.engine(number)
        if in_order:
            engine.shut_down()
        else:
            engine.kill()
        return Broken("ended" if in_order else "killed", lambda: self._start_engine(number))

    def _freeze_engine(self, step: Step) -> Broken:
        return _freeze(self._fleet.bed.engine(self._number(step)).state.dockerd)

    def _start_engine(self, number: int) -> None:
        """Have the engine of a node answer."""
        engine = self._fleet.bed.engine(number)
        dockerd = engine.state.dockerd
        if dockerd is not None and dockerd.signal(signal.SIGCONT):
            deadline = time.monotonic() + THAW
            while not engine.alive() and time.monotonic() < deadline:
                dockerd.wait(0.2)
            return
        engine.start()
        self._fleet.bed.state.save()

    # -- control plane -----------------------------------------------------------------------------

    def _kill_etcd(self, step: Step) -> Broken:
        self._plane.kill_etcd()
        return Broken("killed", self._start_control_plane)

    def _kill_apiserver(self, step: Step) -> Broken:
        if self._plane.state.apiserver is not None:
            self._plane.state.apiserver.kill()
        return Broken("killed", self._start_control_plane)

    def _start_control_plane(self) -> None:
        etcd, apiserver = self._plane.state.etcd, self._plane.state.apiserver
        if etcd is None or not etcd.alive():
            self._plane.start_etcd_again()
        if apiserver is None or not apiserver.alive():
            self._plane.start_apiserver()
        self._fleet.bed.state.save()

    # -- containers --------------------------------------------------------------------------------

    def _kill_container(self, step: Step) -> Broken:
        name, pid = self._container(step)
        process = by_pid(pid, name)
        if process is None or not process.signal(signal.SIGKILL):
            raise BedError(f"{name} has ended already")
        return Broken(f"{name} killed", lambda: None)

    def _freeze_container(self, step: Step) -> Broken:
        name, pid = self._container(step)
        return Broken(f"{name}: {(broken := _freeze(by_pid(pid, name))).text}", broken.undo)

    def _remove_container(self, step: Step) -> Broken:
        name, _ = self._container(step)
        url = self._fleet.bed.engine(self._number(step)).url
        try:
            with docker_client(url, timeout=DOCKER_TIMEOUT) as client:
                client.remove_container(name, force=True, v=True)
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise BedError(f"{name} cannot be removed: {error}") from error
        return Broken(f"{name} removed", lambda: None)

    def _container(self, step: Step) -> tuple[str, int]:
        """Name and pid of a container that runs; the step's value says which."""
        url = self._fleet.bed.engine(self._number(step)).url
        try:
            with docker_client(url, timeout=DOCKER_TIMEOUT) as client:
                found = client.containers(filters={"status": "running"})
                names = sorted(each["Names"][0].lstrip("/") for each in found)
                if not names:
                    raise BedError("no container runs here")
                name = names[int(step.value) % len(names)]
                return name, int(client.inspect_container(name)["State"]["Pid"])
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise BedError(f"the engine does not say what runs: {error}") from error

    # -- links, disks, clocks ----------------------------------------------------------------------

    def _cut(self, step: Step) -> Broken:
        all_of_them = step.target == ALL_NODES
        numbers = self._fleet.numbers if all_of_them else [self._number(step)]
        self._fleet.cut(*numbers)
        return Broken("cut off", lambda: self._fleet.join(*numbers))

    def _fill(self, step: Step) -> Broken:
        path = filler(self._fleet.agent(self._number(step)).state_dir)
        size = fill(path)
        return Broken(f"{size} bytes written", lambda: path.unlink(missing_ok=True))

    def _jump(self, step: Step) -> Broken:
        state_dir = self._controller(step).state_dir
        skewed.set_shift(state_dir, int(step.value))
        return Broken("jumped", lambda: skewed.set_shift(state_dir, 0))

    def _drop(self, step: Step) -> Broken:
        """End the connections to the API server: those of a node, or all others."""
        state = self._plane.state
        on_node = [n for n in self._fleet.bed.state.nodes if n.name == step.target]
        namespace = on_node[0].engine.namespace if on_node else None
        enter = ["nsenter", f"--net=/run/netns/{namespace}", "--"] if namespace else []
        ports = f"( dport = :{state.apiserver_port} )"
        try:
            done = run(*enter, "ss", "--kill", "--tcp", "--no-header", *ports.split())
        except ProgramFailed as error:
            raise BedError(f"connections cannot be cut here: {error}") from error
        return Broken(f"{len(done.stdout.splitlines())} connections cut", lambda: None)


def _freeze(process: Process | None) -> Broken:
    if process is None or not process.signal(signal.SIGSTOP):
        raise BedError("it does not run")
    frozen = process
    return Broken(f"pid {frozen.pid} stopped", lambda: _thaw(frozen))


def _thaw(process: Process) -> None:
    process.signal(signal.SIGCONT)


def small_disk(folder: Path) -> None:
    """Mount a disk of 16 MiB at a state folder, which `Bed.down` takes away again."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    options = f"size={DISK},mode=700"
    run("mount", "-t", "tmpfs", "-o", options, "challenge-chaos", folder)


def small_disks(fleet: Fleet) -> None:
    """Give the agent of each node a small disk, before it starts."""
    for number in fleet.numbers:
        small_disk(fleet.bed.state.folder / "state" / agent_name(number))


def filler(state_dir: Path) -> Path:
    """The file that fills a state folder's disk."""
    return state_dir / FILLER


def fill(path: Path) -> int:
    """Write a file until its disk is full; returns how many bytes it has come to."""
    block, written = bytes(2**16), 0
    with path.open("wb", buffering=0) as file:
        while len(block):
            try:
                written += file.write(block)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                block = block[: len(block) // 2]
        os.fsync(file.fileno())
    return written
