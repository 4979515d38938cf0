"""A service is probed in bounded time, and an answer of any shape harms nobody."""

import asyncio
import contextlib
import io
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import docker
import pytest
import requests
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from controller.runtime.engine import Engine
from controller.runtime.probes import Check, ExecProbe, HttpProbe, ProbeResult, Probes, TcpProbe

HERE = "127.0.0.1"
T = TypeVar("T")
Serve = Callable[[bytes], Awaitable[int]]


@pytest.fixture
async def asked() -> list[str]:
    """What the service was asked."""
    return []


@pytest.fixture
async def serve(asked: list[str]) -> AsyncIterator[Serve]:
    """`serve(answer)` starts a service that gives that answer; returns its port."""
    servers: list[asyncio.Server] = []
    writers: list[asyncio.StreamWriter] = []

    async def start(answer: bytes) -> int:
        async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            try:
                asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            except asyncio.IncompleteReadError:
                return
            writer.write(answer)
            if answer == b"":
                writer.close()

        servers.append(await asyncio.start_server(one, HERE, 0))
        port: int = servers[-1].sockets[0].getsockname()[1]
        return port

    yield start
    for server in servers:
        server.close()
    for writer in writers:
        writer.transport.abort()


async def _probe(check: Check, timeout: float = 30.0) -> ProbeResult:
    probes = Probes(Engine("unix:///nowhere"))
    return await probes.probe(check, container="", address=HERE, timeout=timeout)


async def test_tcp(serve: Serve) -> None:
    assert await _probe(TcpProbe(await serve(b"x"))) == ProbeResult(True)
    with socket.socket() as held:  # nobody listens there, and nobody else can
        held.bind((HERE, 0))
        port = held.getsockname()[1]
        assert await _probe(TcpProbe(port)) == ProbeResult(
            False, f"connect to {HERE}:{port}: connection refused"
        )


async def test_a_container_without_an_address_is_not_taken_for_the_agents_own_host(
    serve: Serve,
) -> None:
    port = await serve(b"HTTP/1.1 200 OK\r\n\r\n")
    probes = Probes(Engine("unix:///nowhere"))
    for check in (TcpProbe(port), HttpProbe(port)):
        result = await probes.probe(check, container="c", address="", timeout=5.0)
        assert result == ProbeResult(False, "the container has no address on its network")


async def test_tcp_to_a_service_that_takes_no_connection_ends_in_time() -> None:
    with socket.create_server((HERE, 0), backlog=0) as full, contextlib.ExitStack() as waiting:
        for _ in range(3):  # more than the kernel takes in behind the program's back
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        port = full.getsockname()[1]
        assert await _probe(TcpProbe(port), timeout=0.1) == ProbeResult(
            False, f"connect to {HERE}:{port}: no answer within 0.1 s"
        )


@pytest.mark.parametrize("status", [200, 204, 301, 302, 399])
async def test_http_success(status: int, serve: Serve, asked: list[str]) -> None:
    answer = f"HTTP/1.1 {status} x\r\nLocation: http://{HERE}:1/\r\n\r\n".encode()
    port = await serve(answer)
    assert await _probe(HttpProbe(port, "/health?x=1")) == ProbeResult(True)
    assert len(asked) == 1
    assert asked[0].startswith(f"GET /health?x=1 HTTP/1.1\r\nHost: {HERE}:{port}\r\n")


@pytest.mark.parametrize("status", [400, 404, 500, 503, 199, 600])
async def test_http_failure(status: int, serve: Serve) -> None:
    port = await serve(f"HTTP/1.1 {status} x\r\n\r\n".encode())
    assert await _probe(HttpProbe(port)) == ProbeResult(
        False, f"GET http://{HERE}:{port}/: HTTP status {status}"
    )


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "no HTTP answer"),
        (b"HTTP/1.1 abc\r\n", "no HTTP answer"),
        (b"HTTP/1.1\r\n", "no HTTP answer"),
        (b"", "connection closed without an answer"),
    ],
)
async def test_http_with_no_answer_to_speak_of(answer: bytes, words: str, serve: Serve) -> None:
    port = await serve(answer)
    result = await _probe(HttpProbe(port))
    assert result == ProbeResult(False, f"GET http://{HERE}:{port}/: {words}")


async def test_http_with_an_answer_that_does_not_end_in_time(serve: Serve) -> None:
    port = await serve(b"HTTP/1.1 200")
    result = await _probe(HttpProbe(port), timeout=0.2)
    assert result == ProbeResult(False, f"GET http://{HERE}:{port}/: no answer within 0.2 s")


async def test_an_answer_without_end_is_not_read(serve: Serve) -> None:
    port = await serve(b"x" * 10_000_000)
    result = await _probe(HttpProbe(port))
    assert result == ProbeResult(False, f"GET http://{HERE}:{port}/: no HTTP answer")
    endless = b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1_000_000
    assert (await _probe(HttpProbe(await serve(endless)))).ok


async def test_headers_of_the_probes_own(serve: Serve, asked: list[str]) -> None:
    port = await serve(b"HTTP/1.1 200 OK\r\n\r\n")
    await _probe(HttpProbe(port, headers={"host": "example.org", "X-Token": "t"}))
    assert "Host: example.org\r\n" in asked[0]
    assert "X-Token: t\r\n" in asked[0]
    assert asked[0].count("Host:") == 1


async def test_a_header_cannot_smuggle_another_request_in(serve: Serve, asked: list[str]) -> None:
    port = await serve(b"HTTP/1.1 200 OK\r\n\r\n")
    result = await _probe(HttpProbe(port, headers={"X": "a\r\n\r\nGET /admin HTTP/1.1"}))
    assert not result.ok
    assert "line break" in result.message
    assert asked == []
    await _probe(HttpProbe(port, "/a b\r\nX: y"))
    assert asked[0].startswith("GET /a%20b%0D%0AX:%20y HTTP/1.1\r\n")


async def test_https_to_a_service_without_tls_is_told(serve: Serve) -> None:
    port = await serve(b"HTTP/1.1 200 OK\r\n\r\n")
    result = await _probe(HttpProbe(port, scheme="HTTPS"), timeout=1.0)
    assert not result.ok
    assert result.message.startswith(f"GET https://{HERE}:{port}/: ")


async def test_https_with_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    server = await asyncio.start_server(_say_ok, HERE, 0, ssl=_self_signed(tmp_path))
    port = server.sockets[0].getsockname()[1]
    assert await _probe(HttpProbe(port, scheme="HTTPS")) == ProbeResult(True)
    server.close()
    await server.wait_closed()


async def _say_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    writer.close()


def _self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now - timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "service.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


Said = dict[str, bool | int | None]
RUNS: Said = {"Running": True, "ExitCode": None}
ENDED: Said = {"Running": False, "ExitCode": 0}


class _Exec(docker.APIClient):
    """An engine's answers to one command that writes nothing; what it says of it, look by look."""

    def __init__(self, *said: Said) -> None:
        self.base_url, self._version = "http://engine", "1.41"
        self._said = list(said)

    def exec_create(self, *_: object, **__: object) -> dict[str, str]:
        return {"Id": "e"}

    def post(self, *_: object, **__: object) -> requests.Response:
        answer = requests.Response()
        answer.status_code, answer.raw = (
            200,
            urllib3.HTTPResponse(io.BytesIO(), preload_content=False),
        )
        return answer

    def exec_inspect(self, _id: str) -> Said:
        return self._said.pop(0) if len(self._said) > 1 else self._said[0]


class _OneExec(Engine):
    """Has every call made of that client."""

    def __init__(self, client: _Exec) -> None:
        super().__init__("unix:///nowhere")
        self._client = client

    async def call(self, fn: Callable[[docker.APIClient], T], **_: Any) -> T:
        return fn(self._client)


async def test_a_command_whose_end_the_engine_learns_late_has_its_exit_code() -> None:
    probes = Probes(_OneExec(_Exec(RUNS, RUNS, ENDED)))
    result = await probes.probe(ExecProbe(("true",)), container="c", address="", timeout=60.0)
    assert result == ProbeResult(True)


async def test_a_command_that_closes_its_output_and_runs_on_has_not_ended() -> None:
    probes = Probes(_OneExec(_Exec(RUNS)))
    check = ExecProbe(("daemon",))
    result = await probes.probe(check, container="c", address="", timeout=0.1)
    assert result == ProbeResult(False, "command 'daemon': not ended within 0.1 s")
    again = await probes.probe(check, container="c", address="", timeout=0.1)
    assert again == ProbeResult(False, "command 'daemon': an earlier one has not ended yet")
