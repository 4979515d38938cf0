"""The HTTP session that kopf watches through: whose token is current, and which hammers nobody.

Kopf begins a watch anew at once when it is cut, lists again ten times a second while each watch is
refused as too old, and ends for good at a 401, or at an answer that is cut or none of an API
server's. Here all of these wait. What is watched is not known here.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import aiohttp

from controller.cluster import calls
from controller.cluster.answers import NO_ANSWER
from controller.cluster.client import Cluster

logger = logging.getLogger(__name__)

UNAUTHORIZED: Final = 401
RETRY: Final = 2.0
"""Seconds to the next try with a token that is not accepted: another may be in its file by then."""
PAUSES: Final = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds at least from one request to the next of its kind, when they come in quick succession."""
QUIET: Final = 10.0
"""Seconds after which a request is no longer in quick succession to the one before."""


def session(cluster: Cluster, pace: "Pace") -> aiohttp.ClientSession:
    """A session to the cluster's API server; to be closed by who takes it."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=cluster.tls),
        proxy=cluster.configuration.proxy,
        trust_env=False,
        middlewares=(heed, pace.wait, read_whole, Bearer(cluster).sign, Counted(cluster).send),
    )


async def heed(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request, and have asyncio say nothing when the task that asks fails.

    Kopf looks for what is served in tasks that nobody waits for any more when one of them fails.
    """
    if task := asyncio.current_task():
        task.remove_done_callback(_heeded)
        task.add_done_callback(_heeded)
    return await handler(request)


def _heeded(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        task.exception()  # who waits for the task hears of it as well, if anybody does


class NoAnswer(aiohttp.ClientConnectionError):
    """What came is cut, or no answer of an API server; kopf asks again, as without a connection."""


async def read_whole(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request that is no watch, and read its answer; raises NoAnswer."""
    response = await handler(request)
    if "watch" in request.url.query:
        return response
    try:
        data = await response.read()
    except aiohttp.ClientPayloadError as error:
        raise NoAnswer(f"The answer was cut: {error}") from None
    if response.ok and not _is_answer(data):
        raise NoAnswer(NO_ANSWER)
    return response


def _is_answer(data: bytes) -> bool:
    """Whether it is JSON that names its kind, as all does that an API server says."""
    try:
        answer = json.loads(data)
    except ValueError:
        return False
    return isinstance(answer, dict) and "kind" in answer


class Bearer:
    """Puts the token of that time into each request, and waits for one that is accepted."""

    def __init__(self, cluster: Cluster) -> None:
        """Nothing is read before the first request."""
        self._cluster = cluster

    async def sign(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send the request, again and again while the API server does not know who asks."""
        while True:
            configuration = self._cluster.configuration
            token = await configuration.get_api_key_with_prefix("BearerToken", "authorization")
            if token:
                request.headers["Authorization"] = str(token)
            response = await handler(request)
            if response.status != UNAUTHORIZED:
                return response
            response.release()
            logger.warning("The API server does not accept our credentials (HTTP 401)")
            await asyncio.sleep(RETRY)


class Counted:
    """Tells the cluster's observer of each request, once its answer has begun."""

    def __init__(self, cluster: Cluster) -> None:
        """Whoever observes then is told."""
        self._cluster = cluster

    async def send(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send the request."""
        begun = time.monotonic()
        result: calls.Result = "unavailable"
        try:
            response = await handler(request)
            code = response.status
            result = "ok" if code < 400 else "refused" if code < 500 and code != 429 else result
            return response
        finally:
            kind = calls.kind_of(
                request.method, request.url.path, watch="watch" in request.url.query
            )
            self._cluster.observe(*kind, result, time.monotonic() - begun)


class Pace:
    """Spreads requests of the same kind out when they come in quick succession."""

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        """``now`` is a clock that only goes forward, in seconds; without one the loop's."""
        self._now = now or (lambda: asyncio.get_running_loop().time())
        self._last: dict[tuple[str, bool], tuple[float, int]] = {}

    async def wait(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send the request when its time has come."""
        query = request.url.query
        if "continue" not in query:  # another page of one and the same list
            await asyncio.sleep(self.due(request.url.path, watch="watch" in query))
        return await handler(request)

    def due(self, path: str, *, watch: bool) -> float:
        """Seconds until a request may be sent, which is counted as sent then."""
        now, key = self._now(), (path, watch)
        last, number = self._last.get(key, (now - QUIET, 0))
        number = min(number + 1, len(PAUSES) - 1) if now - last < QUIET else 0
        at = max(now, last + PAUSES[number])
        self._last[key] = at, number
        return at - now
