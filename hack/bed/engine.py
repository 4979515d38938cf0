"""A Docker engine for a bed: one that is there, or one of our own in a network namespace.

An engine of our own consists of containerd and dockerd with all their files in one folder, so that
it shares nothing with a system's Docker and can be removed without a trace.
"""

import json
import os
import shutil
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import docker
import docker.errors
import requests
from pydantic import BaseModel

# Imported for what it does: it has docker-py close sockets that are refused.
from controller.runtime import transport as transport
from hack.bed.errors import BedError
from hack.bed.leftovers import kill_engine_processes, remove_container_traces, unmount_below
from hack.bed.packages import PATH
from hack.bed.processes import Process, run, spawn

DEFAULT_SOCKET = Path("/var/run/docker.sock")
READY_TIMEOUT = 180.0
ANSWER_TIMEOUT = 10
"""Seconds after which an engine that says nothing counts as hanging, and not only as busy."""
OLD_VERSIONS = ("Docker version 19.", "Docker version 20.")


class EngineState(BaseModel):
    """What another process must know to talk to an engine, or to stop it."""

    url: str
    owned: bool
    id: str = ""
    folder: Path | None = None
    namespace: str | None = None
    daemon: dict[str, object] = {}
    """Entries of daemon.json over the bed's own."""
    programs: Path | None = None
    """A folder that the daemon looks for programs in before all others."""
    containerd: Process | None = None
    dockerd: Process | None = None


@contextmanager
def docker_client(url: str, *, timeout: int = 60) -> Iterator[docker.APIClient]:
    """A low-level client of the engine at a URL. Raises BedError when it does not answer."""
    if not _listens(url, timeout):
        raise BedError(f"no Docker engine answers at {url}: nothing listens there")
    try:
        client = docker.APIClient(base_url=url, version="auto", timeout=timeout)
    except docker.errors.DockerException as error:
        raise BedError(f"no Docker engine answers at {url}: {error}") from error
    try:
        yield client
    finally:
        client.close()


def _listens(url: str, timeout: float) -> bool:
    """False when nothing listens on a local socket: docker-py leaks a socket when it finds out."""
    if not url.startswith("unix://"):
        return True
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(timeout)
        return door.connect_ex(url.removeprefix("unix://")) == 0


def engine_id(url: str) -> str:
    """What an engine calls itself; it stays the same when the engine is started again."""
    with docker_client(url) as client:
        return str(client.info()["ID"])


def answers(url: str) -> bool:
    """Whether a Docker engine answers at this URL."""
    try:
        with docker_client(url, timeout=ANSWER_TIMEOUT) as client:
            return bool(client.ping())
    except (BedError, docker.errors.DockerException, requests.RequestException):
        return False


def foreign_engine() -> EngineState | None:
    """The engine that DOCKER_HOST names, or that listens on the default socket, if any.

    Raises BedError when DOCKER_HOST is set and nothing answers there.
    """
    url = os.environ.get("DOCKER_HOST")
    if url:
        if not answers(url):
            raise BedError(
                f"DOCKER_HOST={url}: no Docker engine answers there; unset or correct it"
            )
        return EngineState(url=url, owned=False, id=engine_id(url))
    if DEFAULT_SOCKET.exists() and answers(f"unix://{DEFAULT_SOCKET}"):
        url = f"unix://{DEFAULT_SOCKET}"
        return EngineState(url=url, owned=False, id=engine_id(url))
    return None


def own_engine(
    folder: Path,
    namespace: str,
    *,
    daemon: Mapping[str, object] | None = None,
    programs: Path | None = None,
) -> EngineState:
    """An engine of our own, not started yet, with its files in `folder`."""
    return EngineState(
        url=f"unix://{folder}/docker.sock",
        owned=True,
        folder=folder,
        namespace=namespace,
        daemon=dict(daemon or {}),
        programs=programs,
    )


class Engine:
    """A Docker engine of a bed; one that is not ours is never stopped or frozen."""

    def __init__(self, state: EngineState, *, dies_with_parent: bool) -> None:
        self.state = state
        self._dies_with_parent = dies_with_parent

    @property
    def url(self) -> str:
        """Where the engine listens, as DOCKER_HOST wants it."""
        return self.state.url

    @property
    def owned(self) -> bool:
        """Whether this engine was started by the bed."""
        return self.state.owned

    def start(self) -> None:
        """Start containerd and dockerd (again) and return when the engine answers.

        Raises BedError with the last log lines when it does not come up.
        """
        folder = self._folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.state.containerd is None or not self.state.containerd.alive():
            (folder / "containerd.toml").write_text(_containerd_config(folder))
            self.state.containerd = self._spawn(
                "containerd", ["containerd", "--config", f"{folder}/containerd.toml"]
            )
            self._wait_for(self.state.containerd, lambda: (folder / "containerd.sock").exists())
        # dockerd refuses to start beside the file of one that was killed.
        (folder / "docker.pid").unlink(missing_ok=True)
        config = _dockerd_config(folder, cgroup=self.state.namespace or "") | self.state.daemon
        config |= _own_identity(folder)
        (folder / "daemon.json").write_text(json.dumps(config, indent=2))
        self.state.dockerd = self._spawn(
            "dockerd", ["dockerd", "--config-file", f"{folder}/daemon.json"]
        )
        self._wait_for(self.state.dockerd, lambda: answers(self.url))
        self.state.id = engine_id(self.url)

    def freeze(self) -> None:
        """Have the engine hang: it takes connections and never answers (SIGSTOP)."""
        self._dockerd().signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        self._dockerd().signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill dockerd, as in a crash. containerd stays; `start` brings dockerd back."""
        self._dockerd().kill()

    def shut_down(self) -> None:
        """Stop dockerd in good order, as an upgrade does; `start` brings it back."""
        self._dockerd().stop(timeout=20.0)

    def alive(self) -> bool:
        """Whether the engine answers."""
        return answers(self.url)

    def stop(self, *, has_namespace: bool = True) -> None:
        """End an engine of ours with all its containers and remove its folder.

        Safe to call again, and after any crash; `has_namespace` is false when its network namespace
        has gone already. Nothing happens to an engine that is not ours.
        """
        if not self.owned:
            return
        folder, namespace = self._folder(), self.state.namespace if has_namespace else None
        if self.state.dockerd is not None and self.state.dockerd.alive():
            self.state.dockerd.signal(signal.SIGCONT)
            # In good order as far as it goes: what is left after that is removed by force.
            with suppress(BedError, docker.errors.DockerException, OSError):
                remove_all_containers(self.url)
            self.state.dockerd.stop(timeout=15.0)
        if self.state.containerd is not None:
            self.state.containerd.stop(timeout=5.0)
        kill_engine_processes(folder, namespace)
        unmount_below(folder)
        containers = folder / "data" / "containers"
        names = [path.name for path in containers.iterdir()] if containers.is_dir() else []
        cgroups = [*names, namespace] if namespace else names
        remove_container_traces(cgroups, names, folder / "containerd.sock")
        shutil.rmtree(folder, ignore_errors=True)

    def _folder(self) -> Path:
        if self.state.folder is None:
            raise BedError(f"the engine at {self.url} is not the bed's own: it is left alone")
        return self.state.folder

    def _dockerd(self) -> Process:
        self._folder()
        if self.state.dockerd is None:
            raise BedError("the bed's engine was not started")
        return self.state.dockerd

    def _spawn(self, name: str, command: list[str]) -> Process:
        folder = self._folder()
        return spawn(
            name,
            command,
            log=folder.parent / "logs" / f"{name}-{folder.name}.log",
            # The daemon must not inherit a client's settings.
            env={"PATH": self._path(), "HOME": str(folder), "TMPDIR": str(folder)},
            namespace=self.state.namespace,
            dies_with_parent=self._dies_with_parent,
        )

    def _path(self) -> str:
        return f"{self.state.programs}:{PATH}" if self.state.programs else PATH

    def _wait_for(self, process: Process, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_TIMEOUT
        while time.monotonic() < deadline and process.alive():
            if condition():
                return
            process.wait(0.05)
        raise BedError(f"{process.name} does not come up; its last lines:\n{process.log_tail()}")


def remove_all_containers(url: str) -> None:
    """Remove every container of an engine, running ones too."""

    def remove(container: str) -> None:
        with docker_client(url, timeout=30) as client, suppress(docker.errors.APIError):
            client.remove_container(container, force=True, v=True)

    with docker_client(url, timeout=30) as client:
        ids = [container["Id"] for container in client.containers(all=True)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(remove, ids))


def _containerd_config(folder: Path) -> str:
    return f"""version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]

[grpc]
  address = "{folder}/containerd.sock"
"""


def _own_identity(folder: Path) -> dict[str, object]:
    """Entries of daemon.json that give an engine an ID of its own, not one for the machine."""
    version = run("dockerd", "--version", env={"PATH": PATH}).stdout
    if version.startswith(OLD_VERSIONS):
        # Made from a key that lies in /etc/docker otherwise.
        return {"deprecated-key-path": f"{folder}/key.json"}
    identity = folder / "data" / "engine-id"
    if not identity.exists():
        identity.parent.mkdir(exist_ok=True, mode=0o710)
        identity.write_text(str(uuid.uuid4()))
    return {}


def _dockerd_config(folder: Path, *, cgroup: str) -> dict[str, object]:
    return {
        "hosts": [f"unix://{folder}/docker.sock"],
        "data-root": f"{folder}/data",
        "exec-root": f"{folder}/exec",
        "pidfile": f"{folder}/docker.pid",
        "containerd": f"{folder}/containerd.sock",
        # The same on each machine, whatever its cgroup version and init are.
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        # A cgroup of the engine's own, so that its remains can be told and removed.
        "cgroup-parent": f"/{cgroup}",
        "shutdown-timeout": 5,
    }
