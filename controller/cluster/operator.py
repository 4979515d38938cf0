"""Kopf as the way in: an embedded operator, one per role, kept alive whatever the API server does.

Kopf watches and calls the role's handlers; it posts nothing, adds no finalizer and writes no
annotation. What its watch loses (it does, after a 410) the roles make good by their own resync.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Any, Final

import aiohttp
import kopf

from controller.api.meta import GROUP, VERSION
from controller.cluster import signals
from controller.cluster.answers import NO_ANSWER
from controller.cluster.client import CHALLENGES, INSTANCES, NODES, POOLS, Cluster, Kind
from controller.cluster.errors import ApiError, NotFound
from controller.cluster.watching import Pace, session

logger = logging.getLogger(__name__)

KINDS: Final = (INSTANCES, CHALLENGES, POOLS, NODES)
RESTART_DELAY: Final = 2.0
"""Seconds before an operator that ended (a watch that is no JSON does that) is started again, and
before the API server is asked again what it serves."""
PAGE: Final = 500
"""Objects in one answer of a LIST: all at once, 10,000 of them would take 300 MB."""
IDLE: Final = 0.2
"""Seconds that kopf keeps a task, and the last event, for an object of which nothing is heard."""


class EndlessBackoff:
    """Kopf's waits between tries while the API server is away: it shall never give up."""

    def __iter__(self) -> Iterator[float]:
        """Short waits first, then one every 2 seconds for ever."""
        yield from (0.1, 0.2, 0.5, 1.0)
        while True:
            yield 2.0


class NoDiffs(kopf.DiffBaseStorage):
    """Kopf's memory of what an object was like before: nothing of ours asks for a difference.

    By default it copies each object twice for each event, which was a third of the watch's CPU.
    """

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:
        """What of an object would be compared."""
        return kopf.BodyEssence({})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """What it was like before."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Remember what it is like."""


def operator_settings(selectors: dict[Kind, str]) -> kopf.OperatorSettings:
    """Kopf's settings for an event source; ``selectors`` are field selectors by kind."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.error_backoffs = EndlessBackoff()
    settings.networking.request_timeout = 30
    settings.watching.inactivity_timeout = 70
    settings.watching.chunk_size = PAGE
    settings.queueing.idle_timeout = IDLE
    settings.persistence.diffbase_storage = NoDiffs()
    settings.process.ultimate_exiting_timeout = None
    for kind, selector in selectors.items():
        settings.watching.field_selectors[kind.group, kind.version, kind.plural] = selector
    return settings


async def serve(
    name: str,
    cluster: Cluster,
    registry: kopf.OperatorRegistry,
    *,
    namespaces: tuple[str, ...] = (),
    selectors: dict[Kind, str] | None = None,
) -> None:
    """Run an operator until cancelled; one that ends by itself is started again."""
    sessions = _Sessions(cluster)
    kopf.on.login(registry=registry)(sessions.login)
    while True:
        await _served(name, cluster)
        stop, settings = asyncio.Event(), operator_settings(selectors or {})
        tasks = await kopf.spawn_tasks(
            registry=registry,
            settings=settings,
            standalone=True,
            stop_flag=stop,
            clusterwide=not namespaces,
            namespaces=namespaces,
        )
        signals.reinstall()
        turned = asyncio.create_task(cluster.history.turned(cluster.history.turns))
        try:
            await asyncio.wait([*tasks, turned], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    cause = None if task.cancelled() else task.exception()
                    logger.warning(
                        "The %s's watch ended (%s); starting it again", name, _told(cause)
                    )
        finally:
            turned.cancel()
            stop.set()
            await _end(tasks)
            await _end_strays(settings)
            await sessions.close()
        await asyncio.sleep(RESTART_DELAY)


async def _served(name: str, cluster: Cluster) -> None:
    """Wait until the API server serves our kinds: kopf looks for them once, when it starts."""
    told = False
    while True:
        missing: list[str] = []
        try:
            missing = await _missing(cluster)
            if not missing:
                return
        except ApiError as error:
            logger.warning("The %s's watch waits for the API server: %s", name, error)
        if missing and not told:
            logger.warning(
                "The API server does not serve %s: the %s waits for the definitions (crds/)",
                ", ".join(missing),
                name,
            )
            told = True
        await asyncio.sleep(RESTART_DELAY)


async def _missing(cluster: Cluster) -> list[str]:
    """Which of our kinds the API server does not serve; raises ApiError."""
    try:
        found = await cluster.request("GET", f"/apis/{GROUP}/{VERSION}")
    except NotFound:
        found = {}
    there = {each.get("name") for each in found.get("resources") or []}
    return sorted({kind.plural for kind in KINDS} - there)


def _told(cause: BaseException | None) -> str:
    """Why a watch ended; kopf stumbles over an event that is none as over a bug."""
    if isinstance(cause, LookupError | TypeError | ValueError):
        return NO_ANSWER
    return str(cause) or type(cause).__name__


async def _end(tasks: Any) -> None:
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)


async def _end_strays(settings: kopf.OperatorSettings) -> None:
    """End what an operator that was cancelled leaves behind: it would ask through closed sessions.

    Kopf's first look at what the API server has (kopf/_cogs/clients/scanning.py) goes on in tasks
    of its own that nobody ends. They are told apart by their operator's settings.
    """
    me = asyncio.current_task()
    while strays := [
        task for task in asyncio.all_tasks() if task is not me and _settings_of(task) is settings
    ]:
        for task in strays:
            task.cancel()
        await asyncio.wait(strays)


def _settings_of(task: asyncio.Task[Any]) -> object:
    """What the task's coroutine was given as its settings, if it was."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    return None if frame is None else frame.f_locals.get("settings")


class _Sessions:
    """The connections of one role's operators, one after the other."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._pace = Pace()
        self._open: list[aiohttp.ClientSession] = []

    async def login(self, **_: Any) -> kopf.AiohttpSession:
        """What kopf asks for when it starts."""
        self._open.append(session(self._cluster, self._pace))
        return kopf.AiohttpSession(
            server=self._cluster.configuration.host, aiohttp_session=self._open[-1]
        )

    async def close(self) -> None:
        """Close what an operator has left open."""
        for each in self._open:
            await each.close()
        self._open.clear()
