"""A proxy before the API server, where a test can break the way to it and mend it again.

It stands in TLS before a bed's API server, in a thread of the test's own, and hands everything on:
LISTs, writes, and watches line by line. Rules that are switched on and off at any time say which
requests are broken, and how (`api_faults`). Every request is counted.
"""

import asyncio
import re
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import aiohttp
from aiohttp import web
from aiohttp.typedefs import LooseHeaders
from multidict import CIMultiDict

from hack.bed.bed import Bed
from hack.bed.certificates import Authority
from hack.bed.kubeconfig import write_token_kubeconfig

PATIENCE: Final = 20.0
"""Seconds for the proxy to start or to end."""
OWN_HEADERS: Final = ("transfer-encoding", "content-length", "connection", "content-encoding")
"""What a connection's own ends agree on; it is not handed on."""
VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True)
class Call:
    """A request as Kubernetes' own rules would name it."""

    verb: str
    resource: str
    """With its subresource, such as ``challengeinstances/status``."""
    name: str
    at: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, request: web.BaseRequest) -> "Call":
        """What a request is about."""
        parts = request.path.strip("/").split("/")
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        if parts[:1] == ["namespaces"] and len(parts) > 2:
            parts = parts[2:]
        kind, name, *sub = [*parts, "", ""][: max(2, len(parts))]
        read = "watch" if "watch" in request.query else "get" if name else "list"
        return cls(VERBS.get(request.method, read), "/".join([kind, *sub]), name)


class Exchange:
    """One request under way; what a fault does with it."""

    def __init__(self, proxy: "ApiProxy", request: web.BaseRequest, call: Call, body: bytes):
        self.request = request
        self.call = call
        self._proxy = proxy
        self._body = body

    @contextmanager
    def _as_sent(self) -> Iterator[dict[str, object]]:
        headers: CIMultiDict[str] = CIMultiDict(self.request.headers)
        for name in ("Host", "Accept-Encoding", "Content-Length", "Transfer-Encoding"):
            headers.popall(name, None)
        if self._proxy.as_admin:
            headers.popall("Authorization", None)
        yield {"headers": headers, "data": self._body or None}

    async def whole(self) -> tuple[int, LooseHeaders, bytes]:
        """Hand the request on, and read the whole answer."""
        session, url = self._proxy.upstream, self._proxy.target + self.request.path_qs
        with self._as_sent() as sent:
            async with session.request(self.request.method, url, **sent) as answer:  # type: ignore[arg-type] # a dictionary's values
                return answer.status, _kept(answer), await answer.read()

    async def hand_on(self) -> web.StreamResponse:
        """Hand the request on, and the answer back."""
        if self.call.verb == "watch":
            return await self.stream(lambda lines: lines)
        status, headers, body = await self.whole()
        return web.Response(status=status, headers=headers, body=body)

    async def stream(
        self, change: Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]
    ) -> web.StreamResponse:
        """Hand a watch on, and its events as ``change`` makes them; an empty one cuts it."""
        session, url = self._proxy.upstream, self._proxy.target + self.request.path_qs
        with self._as_sent() as sent:
            async with session.request(self.request.method, url, **sent) as answer:  # type: ignore[arg-type] # a dictionary's values
                response = web.StreamResponse(status=answer.status, headers=_kept(answer))
                await response.prepare(self.request)
                self._proxy.watches.add(self)
                try:
                    async for line in change(_lines(answer.content)):
                        if not line:
                            self.cut()
                            break
                        await response.write(line)
                finally:
                    self._proxy.watches.discard(self)
                return response

    def cut(self) -> web.StreamResponse:
        """End the connection in the middle of whatever it is in."""
        if self.request.transport is not None:
            self.request.transport.abort()
        return web.Response()


Fault = Callable[[Exchange], Awaitable[web.StreamResponse]]


@dataclass
class Rule:
    """Which requests are broken, and how."""

    fault: Fault
    verbs: str
    """A pattern, such as ``update|patch``."""
    resources: str
    skip: int
    """So many of them are let through at first."""
    chance: float
    random: Random
    matched: int = 0
    struck: int = 0
    """How many requests it has broken."""

    def strikes(self, call: Call) -> bool:
        """Whether it breaks this one; counts it."""
        named = re.fullmatch(self.verbs, call.verb) and re.fullmatch(self.resources, call.resource)
        if not named:
            return False
        self.matched += 1
        if self.matched <= self.skip or self.random.random() >= self.chance:
            return False
        self.struck += 1
        return True


class ApiProxy:
    """The proxy, from `start` to `stop`; ``as_admin``: whoever asks is the bed's administrator."""

    def __init__(self, bed: Bed, *, as_admin: bool = False) -> None:
        self.as_admin = as_admin
        self.target = bed.control_plane.server
        self.calls: list[Call] = []
        self.watches: set[Exchange] = set()
        """Those under way."""
        self.upstream: aiohttp.ClientSession
        self._bed = bed
        self._host = bed.control_plane.state.address
        self._authority = Authority(bed.control_plane.state.folder / "pki")
        self._rules: tuple[Rule, ...] = ()
        self._port = 0
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def start(self) -> None:
        """Listen; raises TimeoutError when it does not come up."""
        self._thread.start()
        if not self._ready.wait(PATIENCE):
            raise TimeoutError("the proxy before the API server does not come up")

    def stop(self) -> None:
        """End every connection, and wait until nothing is left of it."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the proxy before the API server does not end"

    def kubeconfig(self, name: str, token_file: Path) -> Path:
        """A kubeconfig that leads through the proxy."""
        path = self._bed.control_plane.state.folder / f"{name}.kubeconfig"
        write_token_kubeconfig(
            path,
            name="challenge-proxy",
            server=f"https://{self._host}:{self._port}",
            authority=self._authority.pair.certificate,
            token_file=token_file,
        )
        return path

    @contextmanager
    def broken(
        self,
        fault: Fault,
        verbs: str = ".*",
        resources: str = ".*",
        *,
        skip: int = 0,
        chance: float = 1.0,
        seed: int = 0,
    ) -> Iterator[Rule]:
        """Break the requests that are named, while the block runs; the first rule that fits."""
        rule = Rule(fault, verbs, resources, skip, chance, Random(seed))
        self._rules = (*self._rules, rule)
        try:
            yield rule
        finally:
            self._rules = tuple(each for each in self._rules if each is not rule)

    def cut_watches(self) -> None:
        """Cut every watch that is under way, so that whoever watches begins anew."""

        def cut() -> None:
            for each in list(self.watches):
                each.cut()

        self._loop.call_soon_threadsafe(cut)

    def made(self, verbs: str = ".*", resources: str = ".*", *, since: float = 0.0) -> list[Call]:
        """The requests of that kind so far, broken ones too."""
        return [
            call
            for call in list(self.calls)
            if call.at >= since
            and re.fullmatch(verbs, call.verb)
            and re.fullmatch(resources, call.resource)
        ]

    async def _run(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        pair = self._authority.server("api-proxy", [self._host])
        server_side.load_cert_chain(pair.certificate, pair.key)
        runner = web.ServerRunner(
            web.Server(self._serve, handler_cancellation=True), shutdown_timeout=0.1
        )
        async with self._session() as self.upstream:
            await runner.setup()
            site = web.TCPSite(runner, self._host, 0, ssl_context=server_side)
            await site.start()
            self._port = runner.addresses[0][1]
            self._ready.set()
            await self._end.wait()
            await runner.cleanup()

    def _session(self) -> aiohttp.ClientSession:
        context = ssl.create_default_context(cafile=str(self._authority.pair.certificate))
        if self.as_admin:
            pair = self._authority.client(
                "api-proxy-client", user="admin", groups=["system:masters"]
            )
            context.load_cert_chain(pair.certificate, pair.key)
        # A connection that the API server ends at that moment would be a fault of our own.
        connector = aiohttp.TCPConnector(ssl=context, limit=0, force_close=True)
        return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        call = Call.of(request)
        self.calls.append(call)
        exchange = Exchange(self, request, call, await request.read())
        rule = next((rule for rule in self._rules if rule.strikes(call)), None)
        try:
            return await (rule.fault(exchange) if rule else exchange.hand_on())
        except (aiohttp.ClientError, ConnectionError):
            return exchange.cut()  # as an API server that is away would be met


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    held = b""
    async for part in content.iter_any():
        *lines, held = (held + part).split(b"\n")
        for line in lines:
            yield line + b"\n"
    if held:
        yield held


def _kept(answer: aiohttp.ClientResponse) -> CIMultiDict[str]:
    return CIMultiDict(
        (name, value) for name, value in answer.headers.items() if name.lower() not in OWN_HEADERS
    )
