"""Serves a process' metrics to Prometheus, over HTTP, if a port is set.

Must not know what is measured. On the loopback address unless told otherwise: what players run must
never read it.
"""

import asyncio
import os
from http.server import HTTPServer

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from controller.settings import PREFIX


class CannotServe(Exception):
    """The address or port cannot be had; the text names the setting and says what to do."""


def registry() -> CollectorRegistry:
    """A registry for one process, with the process' own CPU time, memory and open files."""
    made = CollectorRegistry()
    ProcessCollector(registry=made)
    return made


async def serve(registry: CollectorRegistry, address: str, port: int) -> None:
    """Serve the registry's metrics at http://ADDRESS:PORT/metrics until cancelled.

    Raises CannotServe.
    """
    server = _listen(registry, address, port)
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()


def _listen(registry: CollectorRegistry, address: str, port: int) -> HTTPServer:
    try:
        server, _ = start_http_server(port, address, registry)
    except OSError as error:
        why = os.strerror(error.errno).lower() if error.errno else str(error)
        raise CannotServe(
            f"{PREFIX}METRICS_PORT={port}: cannot serve metrics on {address}:{port}: {why}; "
            f"expected a free port of an address of this host ({PREFIX}METRICS_ADDRESS). "
            "Choose another one, or 0 to serve none"
        ) from None
    return server
