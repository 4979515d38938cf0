"""One call to the engine, on its way from the task that awaits it to the thread that makes it.

Responsible for the one race there is: the task gives up while the thread begins. It must not know
what is called, nor how long anybody waits.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import docker

T = TypeVar("T")


class Job(Generic[T]):
    """One call: begun in its thread or given up by its task, whichever comes first."""

    def __init__(self, fn: Callable[[docker.APIClient], T], *, effect: bool, name: str) -> None:
        self.fn = fn
        self.effect = effect
        self.name = name
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.held = contextlib.ExitStack()
        self.error: BaseException | None = None
        self._value: list[T] = []
        self._lock = threading.Lock()
        self._begun = False
        self._abandoned = False

    def run(self, client: docker.APIClient) -> None:
        """Carry the call out, unless it was given up before."""
        with self._lock:
            if self._abandoned:
                return
            self._begun = True
        self._value.append(self.fn(client))

    def abandon(self) -> bool:
        """Give the call up; False when it has begun, and is beyond recall."""
        with self._lock:
            self._abandoned = not self._begun
            return self._abandoned

    def finish(self) -> None:
        """Give back what the call held, and tell those who wait. Runs in the loop's thread."""
        self.held.close()
        if not self.ended.done():
            self.ended.set_result(None)

    def result(self) -> T:
        """The answer, or its fault."""
        if self.error is not None:
            raise self.error
        return self._value[0]
