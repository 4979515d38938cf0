"""Serves over HTTP what a process measures and whether it is well, if a port is set.

Must not know what is measured, nor what makes a process well. On the loopback address unless told
otherwise: what players run must never read it. It has threads of its own, so that it answers while
the event loop does not.
"""

import asyncio
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import (
    CollectorRegistry,
    ProcessCollector,
    disable_created_metrics,
    make_wsgi_app,
)
from prometheus_client.exposition import ThreadingWSGIServer

from controller.health import Health
from controller.settings import PREFIX

PATHS: Final = "/metrics, /healthz, /readyz"
PATIENCE: Final = 10.0
"""Seconds that a client may take for its request."""


class CannotServe(Exception):
    """The address or port cannot be had; the text names the setting and says what to do."""


def registry() -> CollectorRegistry:
    """A registry for one process, with the process' own CPU time, memory and open files."""
    # A time for each series, which Prometheus takes for more of them.
    disable_created_metrics()  # type: ignore[no-untyped-call] # prometheus_client has no types there
    made = CollectorRegistry()
    ProcessCollector(registry=made)
    return made


async def serve(registry: CollectorRegistry, health: Health, address: str, port: int) -> None:
    """Serve /metrics, /healthz and /readyz at http://ADDRESS:PORT until cancelled.

    Raises CannotServe.
    """
    server = _listen(_App(registry, health), address, port)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()


class _App:
    """What is answered to a request, by its path."""

    def __init__(self, registry: CollectorRegistry, health: Health) -> None:
        self._metrics: Any = make_wsgi_app(registry)
        self._lines = {"/healthz": health.ailments, "/readyz": health.missing}

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            answer: Iterable[bytes] = self._metrics(environ, start)
            return answer
        if (ask := self._lines.get(path)) is None:
            return _text(start, "404 Not Found", [f"expected one of {PATHS}"])
        wrong = ask()
        return _text(start, "503 Service Unavailable" if wrong else "200 OK", wrong or ["ok"])


def _text(start: Callable[..., Any], status: str, lines: list[str]) -> Iterable[bytes]:
    start(status, [("Content-Type", "text/plain; charset=utf-8")])
    return ["".join(f"{line}\n" for line in lines).encode()]


class _Server(ThreadingWSGIServer):
    """A thread for each request; none of them keeps the process from ending."""

    def server_bind(self) -> None:
        """Bind without asking a name server for one's own name, as the parent does."""
        socketserver.TCPServer.server_bind(self)
        host, self.server_port = self.server_address[:2]
        self.server_name = str(host)
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away, or says nothing, is nobody's trouble."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    """Requests are not logged, and one that never comes does not keep its thread."""

    timeout = PATIENCE

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _listen(app: Any, address: str, port: int) -> WSGIServer:
    server = _Server6 if ":" in address else _Server
    try:
        return make_server(address, port, app, server, handler_class=_Quiet)
    except OSError as error:
        why = os.strerror(error.errno).lower() if error.errno else str(error)
        raise CannotServe(
            f"{PREFIX}METRICS_PORT={port}: cannot serve metrics on {address}:{port}: {why}; "
            f"expected a free port of an address of this host ({PREFIX}METRICS_ADDRESS). "
            "Choose another one, or 0 to serve none"
        ) from None
