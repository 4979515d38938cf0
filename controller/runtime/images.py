"""Images: there, being pulled, or failed to be pulled.

Responsible for pulling each image once at a time, however many wait for it, a few of them at once,
and for the back-off after a failure. It keeps no book of the images that are there: somebody else
may remove one, so the engine is asked. Which images may be used at all is the caller's question.
"""

import asyncio
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Literal

import docker
from docker.utils import parse_repository_tag

from controller.runtime.engine import Engine
from controller.runtime.errors import ImageNotFound, NotFound, PullFailed, RuntimeFault
from controller.runtime.pull import RegistryAuth as RegistryAuth
from controller.runtime.pull import pull_image

Policy = Literal["Always", "IfNotPresent", "Never"]

# As a kubelet's ImagePullBackOff.
_FIRST_RETRY_SECONDS = 10.0
_LAST_RETRY_SECONDS = 300.0
_REMEMBERED_SECONDS = 3600.0


@dataclass(frozen=True)
class Absent:
    """Not in the engine, and nobody is pulling it."""


@dataclass(frozen=True)
class Pulling:
    """Being pulled, or waiting for its turn; `progress` is for people."""

    progress: str


@dataclass(frozen=True)
class Failed:
    """The last pull failed at `at`; no other is started before `retry_at`.

    Both are in seconds of `Images`' clock. `message` is the engine's or the registry's.
    """

    message: str
    at: float
    retry_at: float


@dataclass(frozen=True)
class Present:
    """In the engine, under that image id."""

    id: str


ImageStatus = Absent | Pulling | Failed | Present


@dataclass
class _Record:
    """What this process knows of one image with one set of credentials."""

    task: asyncio.Task[None] | None = None
    progress: str = "waiting"
    wakes: dict[Hashable, Callable[[], None]] = field(default_factory=dict)
    failure: Failed | None = None
    failures: int = 0
    pulled_at: float | None = None
    ended_at: float | None = None


class Images:
    """The images of one engine. `concurrent_pulls` (at least 1) is the number of pulls at once.

    A pull fails when it makes no progress for `stall_timeout` seconds, or takes longer than
    `pull_timeout`. `clock` tells seconds, monotonic.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        concurrent_pulls: int,
        stall_timeout: float = 120.0,
        pull_timeout: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._gate = asyncio.Semaphore(concurrent_pulls)
        self._stall_timeout = stall_timeout
        self._pull_timeout = pull_timeout
        self._clock = clock
        self._records: dict[tuple[str, RegistryAuth | None], _Record] = {}

    async def present(self, image: str) -> str | None:
        """The id of the image in the engine, or None. Never asks a registry.

        Raises EngineUnavailable.
        """
        try:
            return str((await self._inspect(image))["Id"])
        except NotFound:
            return None

    async def digest(self, image: str) -> str:
        """The digest under which a registry has the image, or its id if it came from none.

        Raises ImageNotFound, EngineUnavailable.
        """
        found = await self._inspect(image)
        digests = found.get("RepoDigests") or []
        repository = parse_repository_tag(image)[0]
        named = [each for each in digests if each.partition("@")[0] == repository]
        return str((named or digests or [found["Id"]])[0])

    async def ensure(
        self,
        image: str,
        policy: Policy,
        wake: Callable[[], None],
        *,
        auth: RegistryAuth | None = None,
        not_before: float = 0.0,
        waiter: Hashable = None,
    ) -> ImageStatus:
        """What the policy makes of the image now; starts a pull if it takes one, and returns.

        `wake` is called once when that pull has ended, either way: ask again then. One who asks
        again meanwhile is known by `waiter`, and by `wake` itself without one. With "Always" a
        pull of this process counts if it ended at or after `not_before` (of the clock).
        Never returns Absent. Raises EngineUnavailable.
        """
        record = self._records.get((image, auth))
        pulled_at = None if record is None else record.pulled_at
        fresh = pulled_at is not None and pulled_at >= not_before
        if policy != "Always" or fresh:
            found = await self.present(image)
            if found is not None:
                return Present(found)
        if policy == "Never":
            now = self._clock()
            message = f"image {image} is not on this node, and imagePullPolicy is Never"
            return Failed(message, now, now)
        record = self._records.setdefault((image, auth), _Record())
        if record.task is None:
            if record.failure is not None and self._clock() < record.failure.retry_at:
                return record.failure
            self._begin(image, auth, record)
        record.wakes[wake if waiter is None else waiter] = wake
        return Pulling(record.progress)

    async def state(self, image: str, *, auth: RegistryAuth | None = None) -> ImageStatus:
        """What the image is now; starts nothing. Raises EngineUnavailable."""
        record = self._records.get((image, auth))
        if record is not None and record.task is not None:
            return Pulling(record.progress)
        found = await self.present(image)
        if found is not None:
            return Present(found)
        if record is not None and record.failure is not None:
            return record.failure
        return Absent()

    def progress(self, image: str, *, auth: RegistryAuth | None = None) -> str | None:
        """How far the pull is, for people; None when there is none."""
        record = self._records.get((image, auth))
        return record.progress if record is not None and record.task is not None else None

    async def pull(self, image: str, *, auth: RegistryAuth | None = None) -> None:
        """Pull the image and wait for the end; joins a pull that is under way.

        When the awaiting task is cancelled the pull goes on. Raises PullFailed.
        """
        record = self._records.setdefault((image, auth), _Record())
        await asyncio.shield(record.task or self._begin(image, auth, record))
        if record.failure is not None:
            raise PullFailed(image, record.failure.message)

    async def close(self) -> None:
        """Wait no longer for the pulls under way; the engine drops them when this process ends."""
        tasks = [record.task for record in self._records.values() if record.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _inspect(self, image: str) -> dict[str, Any]:
        def look(client: docker.APIClient) -> dict[str, Any]:
            return dict(client.inspect_image(image))  # type: ignore[no-untyped-call]  # stubs

        return await self._engine.call(look, effect=False)

    def _begin(self, image: str, auth: RegistryAuth | None, record: _Record) -> asyncio.Task[None]:
        self._forget_old()
        record.progress = "waiting"
        record.task = asyncio.create_task(self._pull(image, auth, record), name=f"pull {image}")
        return record.task

    def _forget_old(self) -> None:
        """Drop what is known of images that nobody has asked for in a long time."""
        before = self._clock() - _REMEMBERED_SECONDS
        for key, record in list(self._records.items()):
            if record.task is None and record.ended_at is not None and record.ended_at < before:
                del self._records[key]

    async def _pull(self, image: str, auth: RegistryAuth | None, record: _Record) -> None:
        """The task of one pull: its end is in the record, also when it is cancelled."""
        message = "the pull was given up"
        try:
            async with self._gate:
                await self._fetch(image, auth, record)
            message = ""
        except RuntimeFault as fault:
            message = fault.message
        finally:
            self._end(record, message)

    async def _fetch(self, image: str, auth: RegistryAuth | None, record: _Record) -> None:
        def tell(progress: str) -> None:
            record.progress = progress

        cancelled = False
        try:
            await self._engine.call(
                lambda client: pull_image(
                    client,
                    image,
                    auth,
                    tell,
                    stall_timeout=self._stall_timeout,
                    deadline=time.monotonic() + self._pull_timeout,
                    given_up=lambda: cancelled,
                ),
                effect=False,
                timeout=self._pull_timeout,
                lane=asyncio.Semaphore(1),
            )
        finally:
            cancelled = True
        if await self.present(image) is None:
            raise ImageNotFound(image)

    def _end(self, record: _Record, message: str) -> None:
        now = self._clock()
        record.task, record.ended_at = None, now
        if message:
            pause = min(_FIRST_RETRY_SECONDS * 2**record.failures, _LAST_RETRY_SECONDS)
            record.failures += 1
            record.failure = Failed(message, now, now + pause)
        else:
            record.failures, record.failure, record.pulled_at = 0, None, now
        wakes, record.wakes = record.wakes, {}
        for wake in wakes.values():
            wake()
