"""What can go wrong with a request to the API server, for `ApiProxy.broken`."""

import asyncio
import json
from collections.abc import AsyncIterator
from random import Random

from aiohttp import web

from tests.faults.api_proxy import Exchange, Fault

HTML = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>nginx</body>\r\n</html>\r\n"


def answers(status: int, reason: str = "", *, body: str | None = None, **headers: str) -> Fault:
    """Answer in the API server's place: a Status of that reason, or this very body."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            return web.Response(status=status, text=body, content_type="text/html", headers=named)
        said = _status(status, reason, exchange.call.name)
        return web.json_response(said, status=status, headers=named)

    return fault


def one_of(*faults: Fault, seed: int = 0) -> Fault:
    """Another one of them each time."""
    random = Random(seed)

    async def fault(exchange: Exchange) -> web.StreamResponse:
        return await random.choice(faults)(exchange)

    return fault


async def cut_before(exchange: Exchange) -> web.StreamResponse:
    """End the connection; the API server has never heard of it."""
    return exchange.cut()


async def cut_after(exchange: Exchange) -> web.StreamResponse:
    """Have the request carried out, and end the connection before the answer."""
    await exchange.whole()
    return exchange.cut()


async def cut_body(exchange: Exchange) -> web.StreamResponse:
    """End the connection in the middle of the answer."""
    status, headers, body = await exchange.whole()
    response = web.StreamResponse(status=status, headers=headers)
    await response.prepare(exchange.request)
    await response.write(body[: max(1, len(body) // 2)])
    return exchange.cut()


async def garbled(exchange: Exchange) -> web.StreamResponse:
    """Answer with the right status and a body that is no JSON."""
    status, headers, body = await exchange.whole()
    return web.Response(status=status, headers=headers, body=body[: max(1, len(body) // 2)])


async def not_an_object(exchange: Exchange) -> web.StreamResponse:
    """Have the request carried out, and answer with JSON that is nothing that was asked for."""
    await exchange.whole()
    return await portal(exchange)


async def portal(_exchange: Exchange) -> web.StreamResponse:
    """Answer with JSON that is nothing that was asked for; the API server never hears of it."""
    return web.json_response({"hello": "I am the captive portal of this hotel"})


async def mute(exchange: Exchange) -> web.StreamResponse:
    """Take the request, and never say anything."""
    await asyncio.Event().wait()
    return exchange.cut()


def slow(seconds: float) -> Fault:
    """Have the request carried out at once, and answer so much later."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        status, headers, body = await exchange.whole()
        await asyncio.sleep(seconds)
        return web.Response(status=status, headers=headers, body=body)

    return fault


async def gone_in_the_stream(exchange: Exchange) -> web.StreamResponse:
    """Begin a watch, and have it say at once that its version is too old."""

    async def change(_lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        event = {"type": "ERROR", "object": _status(410, "Expired", "")}
        yield json.dumps(event).encode() + b"\n"

    return await exchange.stream(change)


async def cut_in_an_event(exchange: Exchange) -> web.StreamResponse:
    """Cut a watch in the middle of its first event."""

    async def change(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for line in lines:
            yield line[: len(line) // 2]
            yield b""

    return await exchange.stream(change)


async def ended_in_an_event(exchange: Exchange) -> web.StreamResponse:
    """End a watch in good order in the middle of its first event, as a proxy that stops does."""

    async def change(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for line in lines:
            yield line[: len(line) // 2]
            return

    return await exchange.stream(change)


async def cut_at_once(exchange: Exchange) -> web.StreamResponse:
    """Begin a watch, and cut it before the first event."""

    async def change(_lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        yield b""

    return await exchange.stream(change)


async def twice(exchange: Exchange) -> web.StreamResponse:
    """Tell each event of a watch twice."""

    async def change(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for line in lines:
            yield line
            yield line

    return await exchange.stream(change)


def shuffled(seed: int, *, held: float = 0.3) -> Fault:
    """Tell the events of a watch in another order: those that come within ``held`` seconds."""
    random = Random(seed)

    async def fault(exchange: Exchange) -> web.StreamResponse:
        async def change(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            waiting: list[bytes] = []
            queue: asyncio.Queue[bytes | None] = asyncio.Queue()

            async def read() -> None:
                async for line in lines:
                    await queue.put(line)
                await queue.put(None)

            reading = asyncio.create_task(read())
            try:
                while True:
                    try:
                        async with asyncio.timeout(held if waiting else None):
                            line = await queue.get()
                    except TimeoutError:
                        random.shuffle(waiting)
                        for each in waiting:
                            yield each
                        waiting = []
                        continue
                    if line is None:
                        return
                    waiting.append(line)
            finally:
                reading.cancel()

        return await exchange.stream(change)

    return fault


def _status(code: int, reason: str, name: str) -> dict[str, object]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"a fault of the tests: {reason or code}",
        "reason": reason,
        "details": {"name": name} if name else {},
        "code": code,
    }
