"""Images: there, being pulled, or failed to be pulled.

Responsible for pulling each image once at a time, however many wait for it, a few of them at once,
and for the back-off after a failure. It keeps no book of the images that are there: somebody else
may remove one, so the engine is asked, unless its last answer is young enough for the caller. Which
images may be used at all is the caller's question.
"""

import asyncio
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import docker

from controller.runtime.digests import Digests
from controller.runtime.engine import Engine
from controller.runtime.errors import ImageNotFound, NotFound, PullFailed, RuntimeFault
from controller.runtime.image_status import Absent as Absent
from controller.runtime.image_status import Failed as Failed
from controller.runtime.image_status import ImageStatus
from controller.runtime.image_status import Present as Present
from controller.runtime.image_status import Pulling as Pulling
from controller.runtime.progress import Pace
from controller.runtime.pull import RegistryAuth as RegistryAuth
from controller.runtime.pull import pull_image

Policy = Literal["Always", "IfNotPresent", "Never"]

# As a kubelet's ImagePullBackOff.
_FIRST_RETRY_SECONDS = 10.0
_LAST_RETRY_SECONDS = 300.0
_REMEMBERED_SECONDS = 3600.0


Auths = tuple[RegistryAuth, ...]
"""Credentials, tried in this order; none at all if there are none."""
_Key = tuple[str, Auths]


@dataclass
class _Record:
    """What this process knows of one image with one set of credentials."""

    pace: Pace
    task: asyncio.Task[None] | None = None
    wakes: dict[Hashable, Callable[[], None]] = field(default_factory=dict)
    asked: dict[Hashable, float] = field(default_factory=dict)
    """When each of those first asked who want it as it is in the registry by then."""
    begun_at: float = 0.0
    pulled_as_of: float | None = None
    """When the last pull that succeeded was begun: at least that new is what it brought."""
    failure: Failed | None = None
    failures: int = 0
    ended_at: float | None = None

    def is_new_to(self, asker: Hashable) -> bool:
        asked = self.asked.get(asker)
        return asked is not None and self.pulled_as_of is not None and asked <= self.pulled_as_of


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
        self._records: dict[_Key, _Record] = {}
        self._found: dict[str, tuple[str, float]] = {}
        self.digests = Digests()

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
        found = str((await self._inspect(image))["Id"])
        return self.digests.named(found, image) or found

    async def learn(self, image_ids: Iterable[str]) -> None:
        """Have `digests` know these images; asks the engine for each that it does not know yet.

        Raises EngineUnavailable.
        """
        for image_id in image_ids:
            if image_id and not self.digests.known(image_id) and not await self.present(image_id):
                self.digests.note(image_id, {})  # its containers outlive an image

    async def ensure(
        self,
        image: str,
        policy: Policy,
        wake: Callable[[], None],
        *,
        auths: Auths = (),
        waiter: Hashable = None,
        within: float = 0.0,
    ) -> ImageStatus:
        """What the policy makes of the image now; starts a pull if it takes one, and returns.

        `wake` is called once when that pull has ended, either way: ask again then. One who asks
        again meanwhile is known by `waiter`, and by `wake` itself without one. With "Always" a
        pull counts for a waiter if it was begun after that one had first asked. An answer of the
        engine's that is up to `within` seconds old will do.
        Never returns Absent. Raises EngineUnavailable.
        """
        key, asker = (image, auths), wake if waiter is None else waiter
        record = self._records.get(key)
        if policy != "Always" or (record is not None and record.is_new_to(asker)):
            found = self._found_lately(image, within) or await self.present(image)
            if found is not None:
                return Present(found)
        if policy == "Never":
            now = self._clock()
            message = f"image {image} is not on this node, and imagePullPolicy is Never"
            return Failed(message, now, now)
        record = self._records.setdefault(key, _Record(Pace(self._clock)))
        if policy == "Always":
            record.asked.setdefault(asker, self._clock())
        if record.task is None:
            if record.failure is not None and self._clock() < record.failure.retry_at:
                return record.failure
            self._begin(key, record)
        record.wakes[asker] = wake
        return Pulling(record.pace.shown(), record.pace.left())

    def awaited_by(self, waiter: Hashable) -> bool:
        """Whether that one waits for a pull that is under way."""
        return any(waiter in record.wakes for record in self._records.values())

    def missing(self, image: str) -> None:
        """The engine says that it has no such image: ask it the next time."""
        self._found.pop(image, None)

    async def state(self, image: str, *, auths: Auths = ()) -> ImageStatus:
        """What the image is now; starts nothing. Raises EngineUnavailable."""
        record = self._records.get((image, auths))
        if record is not None and record.task is not None:
            return Pulling(record.pace.shown(), record.pace.left())
        found = await self.present(image)
        if found is not None:
            return Present(found)
        if record is not None and record.failure is not None:
            return record.failure
        return Absent()

    def progress(self, image: str, *, auths: Auths = ()) -> str | None:
        """How far the pull is at this moment, for people; None when there is none."""
        record = self._records.get((image, auths))
        return record.pace.latest if record is not None and record.task is not None else None

    async def pull(self, image: str, *, auths: Auths = ()) -> None:
        """Pull the image and wait for the end; joins a pull that is under way.

        When the awaiting task is cancelled the pull goes on. Raises PullFailed.
        """
        key = (image, auths)
        record = self._records.setdefault(key, _Record(Pace(self._clock)))
        await asyncio.shield(record.task or self._begin(key, record))
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

        found = await self._engine.call(look, effect=False)
        self.digests.note(str(found["Id"]), found)
        self._found[image] = (str(found["Id"]), self._clock())
        return found

    def _found_lately(self, image: str, within: float) -> str | None:
        image_id, at = self._found.get(image, (None, 0.0))
        return image_id if self._clock() - at < within else None

    def _begin(self, key: _Key, record: _Record) -> asyncio.Task[None]:
        self._forget_old()
        record.pace = Pace(self._clock)
        record.task = asyncio.create_task(self._pull(key, record), name=f"pull {key[0]}")
        return record.task

    def _forget_old(self) -> None:
        """Drop what is known of images, and of those who asked for them, a long time ago."""
        before = self._clock() - _REMEMBERED_SECONDS
        self._found = {i: found for i, found in self._found.items() if found[1] >= before}
        for key, record in list(self._records.items()):
            record.asked = {who: at for who, at in record.asked.items() if at >= before}
            if record.task is None and record.ended_at is not None and record.ended_at < before:
                del self._records[key]

    async def _pull(self, key: _Key, record: _Record) -> None:
        """The task of one pull: its end is in the record, also when it is cancelled."""
        image, auths = key
        message = "the pull was given up"
        try:
            async with self._gate:
                record.begun_at = self._clock()
                await self._try(image, auths, record)
            message = ""
        except RuntimeFault as fault:
            message = fault.message
        finally:
            self._end(record, message)

    async def _try(self, image: str, auths: Auths, record: _Record) -> None:
        """Pull with the first of the credentials that the registry accepts."""
        refusals: dict[str, None] = {}
        for auth in auths or (None,):
            try:
                return await self._fetch(image, auth, record)
            except PullFailed as failed:
                message = failed.message
                for each in auths:
                    message = each.redact(message)
                refusals[message] = None
                if failed.silent:
                    break
        raise PullFailed(image, "; ".join(refusals))

    async def _fetch(self, image: str, auth: RegistryAuth | None, record: _Record) -> None:
        def tell(progress: str) -> None:
            record.pace.latest = progress

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
        self.digests.forget()

    def _end(self, record: _Record, message: str) -> None:
        now = self._clock()
        record.task, record.ended_at = None, now
        if message:
            pause = min(_FIRST_RETRY_SECONDS * 2**record.failures, _LAST_RETRY_SECONDS)
            record.failures += 1
            record.failure = Failed(message, now, now + pause)
        else:
            record.failures, record.failure, record.pulled_as_of = 0, None, record.begun_at
        wakes, record.wakes = record.wakes, {}
        for wake in wakes.values():
            wake()
