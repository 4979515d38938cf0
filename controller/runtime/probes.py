"""Probes: does the service in a container answer?

Responsible for one try of each kind, in a bounded time, with a bounded amount read from the other
side, which is not trusted. When to try, and how many failures count, is the caller's.
"""

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

import docker

from controller.runtime.engine import Engine
from controller.runtime.errors import EngineError, EngineUnavailable
from controller.runtime.transport import raise_for_status

# A status line, or what an exec's command says, as far as a message has room for it.
_STATUS_LINE_BYTES = 4096
_OUTPUT_BYTES = 1024
_READ_BYTES = 4096
_FRAME_HEADER = 8
_EXECS_AT_ONCE = 64
_ENDED_PAUSE = 0.02
# What may stand in a request target as it is (RFC 3986, path and query).
_TARGET_CHARACTERS = "/?:@!$&'()*+,;=-._~%"


@dataclass(frozen=True)
class TcpProbe:
    """Somebody accepts a connection on the port."""

    port: int


@dataclass(frozen=True)
class HttpProbe:
    """GET is answered with a status of 200-399; a redirect counts, and is not followed.

    A certificate is not verified, as by a kubelet.
    """

    port: int
    path: str = "/"
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ExecProbe:
    """A command in the container ends with 0."""

    command: tuple[str, ...]


Check = TcpProbe | HttpProbe | ExecProbe


@dataclass(frozen=True)
class ProbeResult:
    """Whether it answered, and if not, what was tried and what came, in a user's words."""

    ok: bool
    message: str = ""


class Probes:
    """Tries services; keeps track of commands that outlive their try, so that they do not pile up.

    Docker cannot end a command once it was started in a container, so the next try of the same
    container waits for the last one's command to end.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lane = asyncio.Semaphore(_EXECS_AT_ONCE)
        self._late: dict[str, str] = {}

    async def probe(
        self, check: Check, *, container: str, address: str, timeout: float
    ) -> ProbeResult:
        """One try. `container` is its name or id in the engine, `address` its own IPv4 address.

        `timeout` is in seconds. A failed try is a result; raises EngineUnavailable (ExecProbe only)
        when it could not be made.
        """
        if not address and not isinstance(check, ExecProbe):
            # Asked to connect to no host, Python takes the agent's own.
            return ProbeResult(False, "the container has no address on its network")
        match check:
            case TcpProbe():
                return await _tcp(check, address, timeout)
            case HttpProbe():
                return await _http(check, address, timeout)
            case ExecProbe():
                return await self._exec(check, container, timeout)

    def forget(self, container: str) -> None:
        """Drop what is kept of a container that is gone."""
        self._late.pop(container, None)

    async def _exec(self, check: ExecProbe, container: str, timeout: float) -> ProbeResult:
        what = f"command {' '.join(check.command)!r}"
        try:
            if await self._still_runs(container):
                return ProbeResult(False, f"{what}: an earlier one has not ended yet")
            exec_id = await self._engine.call(
                lambda client: _prepare(client, container, check.command), effect=False
            )
            self._late[container] = exec_id
            deadline = time.monotonic() + timeout
            output = await self._run(exec_id, timeout)
            found = await self._ended(exec_id, deadline) if output is not None else None
            if output is None or found is None:
                return ProbeResult(False, f"{what}: not ended within {timeout:g} s")
            del self._late[container]
        except EngineError as refused:
            return ProbeResult(False, f"{what}: {refused.message}")
        code = found.get("ExitCode")
        if code == 0:
            return ProbeResult(True)
        said = output.decode(errors="replace").strip()
        return ProbeResult(False, f"{what}: exit code {code}" + (f": {said}" if said else ""))

    async def _run(self, exec_id: str, timeout: float) -> bytes | None:
        """The command's output, or None when it took longer."""
        try:
            async with asyncio.timeout(timeout):
                return await self._engine.call(
                    lambda client: _output(client, exec_id, timeout),
                    effect=False,
                    timeout=timeout,
                    lane=self._lane,
                )
        except (TimeoutError, EngineUnavailable):
            # Either the command is slow or the engine is: only the engine can say which.
            await self._engine.ping()
            return None

    async def _ended(self, exec_id: str, deadline: float) -> dict[str, Any] | None:
        """What the engine says of a command that writes no more; None when it runs all the same.

        On a busy machine it says of one that has ended that it runs, for a moment.
        """
        while (found := await self._inspect(exec_id)).get("Running"):
            if time.monotonic() > deadline:
                return None
            await asyncio.sleep(_ENDED_PAUSE)
        return found

    async def _still_runs(self, container: str) -> bool:
        exec_id = self._late.get(container)
        if exec_id is None:
            return False
        with contextlib.suppress(EngineError):  # gone with its container, or forgotten
            if (await self._inspect(exec_id)).get("Running"):
                return True
        self._late.pop(container, None)
        return False

    async def _inspect(self, exec_id: str) -> dict[str, Any]:
        return await self._engine.call(lambda client: client.exec_inspect(exec_id), effect=False)


def _prepare(client: docker.APIClient, container: str, command: tuple[str, ...]) -> str:
    return str(client.exec_create(container, list(command))["Id"])


def _output(client: docker.APIClient, exec_id: str, timeout: float) -> bytes:
    """What the command wrote, its beginning; returns when it has ended.

    docker-py's own exec_start takes away the limit on the wait, which a command that hangs needs.
    Raises urllib3's timeout when nothing comes for that long, TimeoutError when it drips.
    """
    url = f"{client.base_url}/v{client.api_version}/exec/{exec_id}/start"
    deadline = time.monotonic() + timeout
    raw = b""
    with client.post(
        url, json={"Detach": False, "Tty": False}, stream=True, timeout=timeout
    ) as response:
        raise_for_status(response)
        while part := response.raw.read1(_READ_BYTES):
            raw += part[: _OUTPUT_BYTES - len(raw)]
            if time.monotonic() > deadline:
                raise TimeoutError
    return _unframed(raw)


def _unframed(raw: bytes) -> bytes:
    """The payload of the engine's stream: frames of stream (1), zeros (3), length (4), payload."""
    text = b""
    while len(raw) > _FRAME_HEADER:
        end = _FRAME_HEADER + int.from_bytes(raw[4:_FRAME_HEADER], "big")
        text += raw[_FRAME_HEADER:end]
        raw = raw[end:]
    return text


async def _tcp(check: TcpProbe, address: str, timeout: float) -> ProbeResult:
    what = f"connect to {address}:{check.port}"
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(address, check.port)
    except (OSError, TimeoutError) as error:
        return ProbeResult(False, f"{what}: {_words(error, timeout)}")
    writer.transport.abort()
    return ProbeResult(True)


async def _http(check: HttpProbe, address: str, timeout: float) -> ProbeResult:
    what = f"GET {check.scheme.lower()}://{address}:{check.port}{check.path}"
    try:
        request = _request(check, address)
        async with asyncio.timeout(timeout):
            status = await _status(check, address, request)
    except (OSError, TimeoutError, ValueError) as error:
        return ProbeResult(False, f"{what}: {_words(error, timeout)}")
    if 200 <= status < 400:
        return ProbeResult(True)
    return ProbeResult(False, f"{what}: HTTP status {status}")


async def _status(check: HttpProbe, address: str, request: bytes) -> int:
    """The status of the answer; headers and body stay unread. Raises OSError, ValueError."""
    reader, writer = await asyncio.open_connection(
        address,
        check.port,
        ssl=_unverified() if check.scheme == "HTTPS" else None,
        limit=_STATUS_LINE_BYTES,
    )
    try:
        writer.write(request)
        await writer.drain()
        line = await reader.readline()
    except ValueError:  # longer than the limit
        raise ValueError("no HTTP answer") from None
    finally:
        writer.transport.abort()
    version, _, rest = line.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise ValueError("no HTTP answer" if line else "connection closed without an answer")
    return int(rest[:3])


def _request(check: HttpProbe, address: str) -> bytes:
    """The request's bytes. Raises ValueError on a header that would be two."""
    headers = {
        "Host": f"{address}:{check.port}",
        "User-Agent": "challenge-controller",
        "Accept": "*/*",
    }
    given = {name.title(): value for name, value in check.headers.items()}
    lines = [f"GET {quote(check.path, safe=_TARGET_CHARACTERS)} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in (headers | given).items()]
    lines.append("Connection: close")
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header of the probe has a line break in it")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _words(error: Exception, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error)
