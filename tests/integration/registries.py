"""Registries for the tests: one that is open, one with a password, and a door that can be held."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hack.bed.registry import Registry

PROXY = Path(__file__).with_name("registry_proxy.py")


class HeldDoor:
    """A registry's other address, where the middle of a layer can be held back."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self._folder = folder
        namespace = registry.bed.engine().state.namespace
        enter = ["nsenter", f"--net=/run/netns/{namespace}"] if namespace else []
        port = self.address.partition(":")[2]
        self._process = subprocess.Popen(
            [*enter, sys.executable, PROXY, port, registry.address, folder],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "listening\n"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Every layer stops in its middle meanwhile."""
        (self._folder / "hold").touch()
        try:
            yield
        finally:
            (self._folder / "hold").unlink()

    def requests(self, part: str) -> list[str]:
        """The requests so far that contain `part`."""
        log = self._folder / "requests"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if part in line]

    def wait_for(self, part: str, count: int = 1, timeout: float = 120.0) -> None:
        """Wait until as many different requests contain `part`; raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while len(set(self.requests(part))) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"only {self.requests('')} after {timeout:.0f} s")
            time.sleep(0.02)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
