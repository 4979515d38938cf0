"""An image registry beside a node's engine: Debian's docker-registry, over plain HTTP.

It listens on the loopback address of the engine's network namespace, where an engine asks for no
TLS. Images come into it through the engine (`push`), since nothing else can reach it.
"""

import io
import os
import socket
import tarfile
import time
from pathlib import Path
from typing import Any

import yaml

from hack.bed.bed import Bed
from hack.bed.engine import docker_client
from hack.bed.errors import BedError
from hack.bed.packages import REGISTRY_PACKAGES, install_missing
from hack.bed.processes import Process, spawn

ACCOUNT = {"username": "player", "password": "correct-horse"}
# bcrypt of the password above, the only kind of hash that docker-registry takes.
_HTPASSWD = "player:$2b$05$abcdefghijklmnopqrstuuZ0Fx87Pb/Aqb0E90lfvCwzXnaFKUHpS\n"
READY_TIMEOUT = 90.0


class Registry:
    """A registry of a bed; with `locked` it wants the ACCOUNT's password."""

    def __init__(self, bed: Bed, name: str, *, locked: bool = False) -> None:
        self.bed = bed
        self.address = f"127.0.0.1:{_free_port()}"
        self._folder = bed.state.folder / name
        self._name = name
        self._locked = locked
        self._process: Process | None = None

    def start(self) -> None:
        """Start it (again), with the images that it has had. Raises BedError."""
        install_missing(self.bed.report, REGISTRY_PACKAGES)
        self._folder.mkdir(exist_ok=True)
        (self._folder / "htpasswd").write_text(_HTPASSWD)
        config = self._folder / "config.yml"
        config.write_text(yaml.safe_dump(self._config()))
        seen = len(self._log())
        self._process = spawn(
            self._name,
            ["docker-registry", "serve", config],
            log=self._log_file,
            env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
            namespace=self.bed.engine().state.namespace,
            dies_with_parent=self.bed.state.temporary,
        )
        deadline = time.monotonic() + READY_TIMEOUT
        while "listening on" not in self._log()[seen:]:
            if time.monotonic() > deadline or not self._process.alive():
                raise BedError(f"{self._name} does not come up: {self._process.log_tail()}")
            self._process.wait(0.05)

    def stop(self) -> None:
        """Stop it; its images stay."""
        if self._process is not None:
            self._process.stop(5.0)
            self._process = None

    def requests(self, part: str) -> int:
        """How many requests it has answered whose line (`GET /v2/…`) contains `part`."""
        return sum(f'"{part}' in line for line in self._log().splitlines())

    def push(self, base: str, repository: str, *, tag: str = "1", megabytes: int = 0) -> str:
        """Make an image from `base`, unlike any other, and push it; the engine does not keep it.

        An image of that name that the engine has stays, as if another machine had pushed.
        `megabytes` is the size of a layer that no engine has. Returns the image's digest.
        """
        name = f"{self.address}/{repository}"
        with docker_client(self.bed.docker_host) as client:
            before = [image["Id"] for image in client.images(name=f"{name}:{tag}")]
            for line in client.build(
                fileobj=_context(base, megabytes), custom_context=True, tag=f"{name}:{tag}",
                decode=True, rm=True,
            ):  # fmt: skip
                _check(line)
            digest = ""
            for line in client.push(name, tag, stream=True, decode=True, auth_config=ACCOUNT):
                _check(line)
                digest = (line.get("aux") or {}).get("Digest", digest)
            client.remove_image(f"{name}:{tag}")
            for image in before:
                client.tag(image, name, tag)
        return digest

    @property
    def _log_file(self) -> Path:
        return self.bed.state.folder / "logs" / f"{self._name}.log"

    def _log(self) -> str:
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    def _config(self) -> dict[str, Any]:
        auth: dict[str, Any] = {
            "htpasswd": {"realm": "bed", "path": str(self._folder / "htpasswd")}
        }
        return {
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": str(self._folder / "images")}},
            "http": {"addr": self.address},
        } | ({"auth": auth} if self._locked else {})


def _context(base: str, megabytes: int) -> io.BytesIO:
    """What `docker build` is sent: a Dockerfile, and a file that cannot be compressed."""
    files = {
        "Dockerfile": f"FROM {base}\nCOPY unique /unique\n".encode(),
        "unique": os.urandom(max(16, megabytes * 1_000_000)),
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    out.seek(0)
    return out


def _check(line: dict[str, object]) -> None:
    if "error" in line:
        raise BedError(f"the engine: {line['error']}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
