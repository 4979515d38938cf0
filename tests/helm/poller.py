"""A player's client that asks an instance all the while, each time by a new connection."""

import threading
from types import TracebackType
from typing import Self

from hack.bed.errors import BedError
from hack.bed.instances import Endpoint, ask

PAUSE = 0.05


class Poller:
    """Asks endpoints in turn while the block inside runs; `failures` tell what went wrong."""

    def __init__(self, endpoints: list[Endpoint]) -> None:
        assert endpoints, "there is nothing to ask"
        self._endpoints = endpoints
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poller")
        self.answers = 0
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.is_set():
            for endpoint in self._endpoints:
                try:
                    ask(endpoint)
                    self.answers += 1
                except BedError as error:
                    self.failures.append(str(error))
            self._end.wait(PAUSE)
