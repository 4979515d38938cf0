"""Watches the engine: whether it answers, whether it is the right one, and what it tells.

While it is away nothing is launched and nothing is lost; when it is back everything is looked at
anew, since its events of the meantime are gone.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from controller.agent.identity import confirm, only_ours
from controller.agent.lock import HostLock, engine_lock, take
from controller.cluster.tasks import together
from controller.ledger import LedgerUnavailable
from controller.reconcile import lost
from controller.reconcile.services import Services
from controller.runtime import containers, run
from controller.runtime.engine import EngineInfo
from controller.runtime.errors import EngineUnavailable, RuntimeFault
from controller.runtime.events import Event

logger = logging.getLogger(__name__)

RETRY = 2.0
"""Seconds between two looks for an engine that is away."""
ATTEMPTS = 3
"""Tries before it is said to be away: one answer that fails says nothing, and it would be written
into the status of each instance."""
PAUSE = 1.0
"""Seconds between two of them."""
_BESIDE = ("start", "kill", "stop", "rename")
"""What says nothing of a container's state that a reconcile, or the end that follows, does not."""
PING_PERIOD = 10.0
"""Seconds between two pings of an engine that answers."""


class EngineMonitor:
    """Keeps ``services.engine_problem`` true to the engine's state."""

    def __init__(
        self,
        services: Services,
        *,
        secure: Callable[[], Awaitable[None]],
        returned: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        """``returned``: the engine answers (again); ``changed``: so will the node's status.

        ``secure`` is awaited before it is used: what the engine starts must be kept apart.
        """
        self._services = services
        self._secure = secure
        self._returned = returned
        self._changed = changed
        self._lock: HostLock | None = None
        self._was_away = False
        self._seen, self._looked = asyncio.Event(), asyncio.Event()
        self._settling: set[asyncio.Task[None]] = set()
        self.info: EngineInfo | None = None

    async def run(self) -> None:
        """Watch until cancelled; raises IdentityMismatch, AlreadyRunning."""
        while True:
            try:
                await self._connect()
                await self._watch()
            except RuntimeFault as error:
                self._lost(error.message)
            except LedgerUnavailable as error:  # which engine it has to be is not known now
                self._lost(str(error))
            self._looked.set()
            await asyncio.sleep(RETRY)

    async def first_look(self) -> None:
        """Wait until the engine was reached, or is known to be away."""
        await self._looked.wait()

    async def first_seen(self) -> EngineInfo:
        """Wait until the engine was reached once, and is the right one."""
        await self._seen.wait()
        assert self.info is not None
        return self.info

    def close(self) -> None:
        """Give the engine's lock up."""
        if self._lock:
            self._lock.release()

    async def _connect(self) -> None:
        """Reach the engine, and make sure that it is the right one; 3 tries, a second apart.

        One that does not even answer a ping is given up at the third.
        """
        for _ in range(ATTEMPTS - 1):
            await self._services.engine.wait(attempts=ATTEMPTS, interval=PAUSE)
            try:
                return await self._recognise()
            except (RuntimeFault, LedgerUnavailable) as error:
                logger.warning("Cannot tell what the Docker engine is, trying again: %s", error)
            await asyncio.sleep(PAUSE)
        return await self._recognise()

    async def _recognise(self) -> None:
        """Ask the engine what it is, take its lock, and have it secured."""
        engine = self._services.engine
        info = await engine.identity()
        if self._lock is None:
            self._lock = engine_lock(self._services.settings.installation, info.id)
            take(self._lock)
        if not self._seen.is_set():
            await only_ours(engine, self._services.settings)
        await confirm(self._services.ledger, "engine", info.id)
        self.info = self._services.engine_info = info
        current = await run.current(engine)
        await lost.end(
            self._services, info, in_new_run=await self._services.outages.is_new(current)
        )
        await self._services.outages.reached(current, was_away=self._was_away)
        self._was_away = False
        await self._secure()
        self._seen.set()

    async def _watch(self) -> None:
        """Follow the engine's events, and make sure meanwhile that it still answers."""
        await together(self._follow(), self._keep_pinging())

    async def _keep_pinging(self) -> None:
        """Raise EngineUnavailable when two pings in a row stay unanswered.

        An engine that hangs keeps its event stream open and says nothing.
        """
        while True:
            await asyncio.sleep(PING_PERIOD)
            await self._services.engine.wait(attempts=2, interval=1.0)
            with contextlib.suppress(LedgerUnavailable):  # no reason to give the engine up
                await self._services.outages.seen()

    async def _follow(self) -> None:
        """Pass on what the engine tells until it is cut off."""
        services = self._services
        async for event in services.engine.events(services.settings.installation):
            if services.engine_problem:
                logger.info("Docker engine %s answers", self.info.version if self.info else "")
                services.engine_problem = ""
                services.bridges.forget()
                services.own_networks.forget()
                self._looked.set()
                self._returned()
                self._changed()
            if event.uid and event.type == "container" and self._is_news(event):
                task = asyncio.create_task(self._wake(event.uid, event.name))
                self._settling.add(task)
                task.add_done_callback(self._settling.discard)
        raise EngineUnavailable("The engine's event stream ended")

    def _is_news(self, event: Event) -> bool:
        """Whether the event may be of something that no reconcile of ours has done."""
        if event.action in _BESIDE:
            return False
        removing = event.action == "destroy" and self._services.gate.holds(str(event.uid))
        return not removing  # who removes it looks at what is left itself

    async def _wake(self, uid: str, container: str) -> None:
        """Wake an instance once the engine's list says the same as its event.

        The engine tells of an end before it has noted it; an inspection waits for that.
        """
        with contextlib.suppress(RuntimeFault):
            await containers.inspect(self._services.engine, container)
        self._services.wake(uid)

    def _lost(self, message: str) -> None:
        self._was_away = True
        if self._services.engine_problem != message:
            logger.warning("Docker engine unavailable: %s", message)
            self._services.engine_problem = message
            self._changed()
