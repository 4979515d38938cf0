"""The Docker engine of this node: calls, their outcomes, and whether it answers.

Responsible for carrying calls out in threads with a time limit each, and for knowing which calls
that change something are still unanswered. It must not know containers, networks or images:
these are the other modules, each on top of `Engine.call`.

A call that changes something is never cut off by this side. When its time is up the caller gets
OutcomeUnknown, and the thread waits on for the answer (or for the end of the engine, which closes
the connection), because only that tells that the call has ended. Meanwhile its name is pending, and
the next such call on the same name waits for it. So a removal cannot overtake the creation before
it, nor a creation the removal before it. Calls that only read have a lane of their own and can
always be cut off, so a hanging engine can be asked whether it is back.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import docker

from controller.runtime import calls, transport
from controller.runtime.errors import EngineError, EngineUnavailable, OutcomeUnknown
from controller.runtime.events import Event, follow
from controller.runtime.job import Job

T = TypeVar("T")

PING_SECONDS = 5.0


@dataclass(frozen=True)
class EngineInfo:
    """What an engine says of itself and its machine; `memory` is in bytes."""

    id: str
    name: str
    version: str
    api_version: str
    operating_system: str
    kernel: str
    architecture: str
    cpus: int
    memory: int
    storage_driver: str
    cgroup_version: str
    cgroup_driver: str
    security_options: tuple[str, ...]
    live_restore: bool
    root: str = ""
    """The folder of its images and containers, on its own machine."""


class Engine:
    """A Docker engine behind a local socket. Making one does not connect.

    `url` is `unix://PATH`; `timeout` the longest wait for one answer, in seconds; `workers` the
    number of calls at once, counted apart for those that change something and those that read.
    It belongs to one event loop.
    """

    def __init__(self, url: str, *, timeout: float = 60.0, workers: int = 16) -> None:
        self.url = url
        self.timeout = timeout
        self._effects = asyncio.Semaphore(workers)
        self._reads = asyncio.Semaphore(workers)
        # Of its own: an engine that is busy with hundreds of questions is not away.
        self._pings = asyncio.Semaphore(2)
        self._pending: dict[str, asyncio.Future[None]] = {}
        self._unanswered: set[Job[Any]] = set()
        self.answered: Callable[[str], object] = _nobody
        """Called with the name in a call that ended after its caller had given it up."""
        self.observed: calls.Observer = calls.nobody
        """Told of each request, by the thread that makes it."""
        self._idle: list[docker.APIClient] = []
        self._closed = False

    async def call(
        self,
        fn: Callable[[docker.APIClient], T],
        *,
        effect: bool,
        name: str | None = None,
        timeout: float | None = None,
        lane: asyncio.Semaphore | None = None,
    ) -> T:
        """Carry `fn` out in a thread, with a client that no other thread uses meanwhile.

        `effect` says that it changes something in the engine, `name` of which container or network;
        calls with the same name follow one another. `timeout` is in seconds, for the answer, and as
        much again for the wait in the queue. `lane` is the caller's own limit of calls at once.

        Raises EngineUnavailable (certainly not carried out), OutcomeUnknown (only with `effect`),
        EngineError and its kinds (refused). When the awaiting task is cancelled, a call that
        was sent goes on; `pending` tells.
        """
        limit = self.timeout if timeout is None else timeout
        job = Job(fn, effect=effect, name=name or "")
        chosen = lane or (self._effects if effect else self._reads)
        with contextlib.ExitStack() as held:
            deadline = asyncio.get_running_loop().time() + limit
            if effect and name is not None:
                await self._follow_on(name, job.ended, deadline)
                held.callback(self._leave, name, job)
            await self._enter(chosen, deadline)
            held.callback(chosen.release)
            self._start(job, limit)
            job.held = held.pop_all()
        return await self._answer(job, limit)

    def pending(self, name: str) -> bool:
        """Whether a call that changes the container or network of that name has not ended yet."""
        return name in self._pending

    def pending_below(self, prefix: str) -> bool:
        """The same for all containers and networks whose names begin like that."""
        return any(name.startswith(prefix) for name in self._pending)

    @property
    def unanswered(self) -> int:
        """Calls that may be changing something in the engine, given up by those who made them."""
        return len(self._unanswered)

    async def settled(self, name: str) -> None:
        """Wait until no call that changes the container or network of that name is pending."""
        while (earlier := self._pending.get(name)) is not None:
            await asyncio.wait({earlier})

    async def ping(self) -> None:
        """Ask for a sign of life. Raises EngineUnavailable."""
        limit = min(self.timeout, PING_SECONDS)
        try:
            await self.call(
                lambda client: client.ping(), effect=False, timeout=limit, lane=self._pings
            )
        except EngineError as refused:
            raise EngineUnavailable(f"Docker engine at {self.url}: {refused.message}") from refused

    async def wait(self, attempts: int = 3, interval: float = 1.0) -> None:
        """Ping until there is an answer, `interval` seconds apart.

        Raises EngineUnavailable after as many `attempts` (at least 1).
        """
        for _ in range(attempts - 1):
            with contextlib.suppress(EngineUnavailable):
                return await self.ping()
            await asyncio.sleep(interval)
        return await self.ping()

    async def identity(self) -> EngineInfo:
        """What the engine is. Costly for the engine: for the start, not for each launch."""
        info, api_version = await self.call(
            lambda client: (client.info(), client.api_version), effect=False
        )
        return _info(info, api_version)

    def events(self, installation: str) -> AsyncGenerator[Event]:
        """What happens to this installation's containers and networks, from now on; a hint only.

        The first event is `events.CONNECTED`: list what there is then, for what came before it is
        not told. Ends with EngineUnavailable. To leave early, close the iterator (`aclose`).
        """
        return follow(lambda: transport.connect(self.url, self.timeout), self.url, installation)

    async def close(self) -> None:
        """Give the idle connections up. Calls still unanswered end with this process."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    async def _follow_on(self, name: str, ended: asyncio.Future[None], deadline: float) -> None:
        """Become the one pending call of that name, after the one before has ended."""
        loop = asyncio.get_running_loop()
        while (earlier := self._pending.get(name)) is not None:
            done, _ = await asyncio.wait({earlier}, timeout=deadline - loop.time())
            if not done:
                raise OutcomeUnknown(
                    f"Docker engine at {self.url}: an earlier call on {name} is not answered yet"
                )
        self._pending[name] = ended

    def _leave(self, name: str, job: Job[Any]) -> None:
        del self._pending[name]
        if not job.ended.done():
            job.ended.set_result(None)

    async def _enter(self, lane: asyncio.Semaphore, deadline: float) -> None:
        if self._closed:
            raise EngineUnavailable(f"Docker engine at {self.url}: the client is closed")
        try:
            async with asyncio.timeout_at(deadline):
                await lane.acquire()
        except TimeoutError:
            raise EngineUnavailable(
                f"Docker engine at {self.url}: too many earlier calls are not answered yet"
            ) from None

    def _start(self, job: Job[Any], limit: float) -> None:
        # A daemon thread for each call, not a pool: a call that a hanging engine never answers must
        # not keep the process from ending.
        loop = asyncio.get_running_loop()
        threading.Thread(
            target=self._work, args=(job, limit, loop), name="docker-call", daemon=True
        ).start()

    async def _answer(self, job: Job[T], limit: float) -> T:
        try:
            await asyncio.wait({job.ended}, timeout=limit)
        except asyncio.CancelledError:
            self._give_up(job)
            raise
        if job.ended.done():
            return job.result()
        message = f"Docker engine at {self.url}: no answer within {limit:g} s"
        if self._give_up(job):
            raise EngineUnavailable(message)
        raise OutcomeUnknown(f"{message}; whether the call was carried out is not known")

    def _give_up(self, job: Job[Any]) -> bool:
        """Wait for the call no longer; whether it certainly changes nothing in the engine."""
        if job.abandon() or not job.effect:
            return True
        if not job.ended.done():
            self._unanswered.add(job)
            job.ended.add_done_callback(lambda _: self._answer_came(job))
        return False

    def _answer_came(self, job: Job[Any]) -> None:
        self._unanswered.discard(job)
        self.answered(job.name)

    def _work(self, job: Job[Any], limit: float, loop: asyncio.AbstractEventLoop) -> None:
        client: docker.APIClient | None = None
        try:
            client = self._lease(limit)
            # The stubs say int; requests takes seconds as a float, and None for no limit.
            client.timeout = None if job.effect else limit  # type: ignore[assignment]
            job.run(client)
        except BaseException as error:  # noqa: BLE001 - carried over to the task that awaits it
            job.error = transport.fault(error, effect=job.effect, url=self.url)
        self._give_back(client, job.error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(job.finish)

    def _lease(self, limit: float) -> docker.APIClient:
        try:
            client = self._idle.pop()
        except IndexError:
            return transport.connect(self.url, limit, self.observed)
        try:
            transport.knock(self.url, limit)
        except EngineUnavailable:
            client.close()
            raise
        return client

    def _give_back(self, client: docker.APIClient | None, error: BaseException | None) -> None:
        if client is None:
            return
        refused = isinstance(error, EngineError)
        if self._closed or (error is not None and not refused):
            client.close()
        else:
            self._idle.append(client)


def _nobody(_name: str) -> None:
    """Nobody waits for the answer."""


def _info(info: dict[str, Any], api_version: str) -> EngineInfo:
    return EngineInfo(
        id=info["ID"],
        name=info.get("Name", ""),
        version=info.get("ServerVersion", ""),
        api_version=api_version,
        operating_system=info.get("OperatingSystem", ""),
        kernel=info.get("KernelVersion", ""),
        architecture=info.get("Architecture", ""),
        cpus=int(info.get("NCPU", 0)),
        memory=int(info.get("MemTotal", 0)),
        storage_driver=info.get("Driver", ""),
        cgroup_version=str(info.get("CgroupVersion", "1")),
        cgroup_driver=info.get("CgroupDriver", ""),
        security_options=tuple(info.get("SecurityOptions") or ()),
        live_restore=bool(info.get("LiveRestoreEnabled", False)),
        root=info.get("DockerRootDir", ""),
    )
