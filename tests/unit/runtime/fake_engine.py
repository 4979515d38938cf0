"""A stand-in for the engine's end of the socket, for faults that no real engine shows on demand.

It knows nothing of Docker but its version; a test says what it answers, or that it does not.
"""

import asyncio
import contextlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VERSION = {"ApiVersion": "1.41", "Version": "20.10.24"}


@dataclass
class Request:
    """What was asked: the method, the path without the API's version, the headers and the body."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class CutOff(Exception):
    """Raised by an answer: the connection is closed instead."""


Answer = Callable[[Request], Any]


@dataclass
class FakeEngine:
    """Answers each request with what `answer` returns: (status, JSON or bytes)."""

    path: Path
    answer: Answer = lambda request: (200, "OK")
    requests: list[Request] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    holds: Callable[[Request], bool] = lambda request: request.path != "/version"
    inside: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    server: asyncio.Server | None = None
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"unix://{self.path}"

    async def start(self) -> None:
        """Listen; nothing is held back until a test clears `held`."""
        self.held.set()
        self.server = await asyncio.start_unix_server(self._serve, self.path)

    async def stop(self) -> None:
        """Be away, as after a crash."""
        assert self.server is not None
        self.server.close()
        await self.server.wait_closed()
        for writer in self.writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(CutOff, ConnectionError, asyncio.IncompleteReadError):
            while True:
                await self._one(reader, writer)
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split(" ", 2)
        lines = (line.partition(":") for line in head.splitlines()[1:] if ":" in line)
        headers = {name.lower(): value.strip() for name, _, value in lines}
        asked = await reader.readexactly(int(headers.get("content-length", 0)))
        request = Request(method, target.removeprefix("/v1.41"), headers, asked)
        if request.path != "/version":
            self.requests.append(request)
            self.asked.set()
        self.inside[method] += 1
        self.most[method] = max(self.most[method], self.inside[method])
        if self.holds(request):
            await self.held.wait()
        self.inside[method] -= 1
        status: int = 200
        body: Any = VERSION
        if request.path != "/version":
            status, body = self.answer(request)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = f"HTTP/1.1 {status} Status\r\nContent-Length: {len(content)}\r\n"
        writer.write(f"{answer}Content-Type: application/json\r\n\r\n".encode() + content)
        await writer.drain()


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[FakeEngine]:
    """A stand-in that listens, in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="cc-"))  # a socket's path has 107 characters at most
    made = FakeEngine(folder / "docker.sock")
    await made.start()
    yield made
    made.held.set()
    await made.stop()
    shutil.rmtree(folder)
