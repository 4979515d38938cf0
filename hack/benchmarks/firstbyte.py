"""When a service gives its first byte, as its player would see it.

docker-proxy accepts a connection before anything listens behind it, so a connection proves nothing:
a byte does.
"""

import contextlib
import socket
import time

PAUSE = 0.01
"""Seconds between two tries; a refused one costs the machine next to nothing."""


def first_byte(host: str, port: int, *, deadline: float) -> float:
    """Connect until a byte comes; returns when it did, on time.perf_counter()'s clock.

    `deadline` is on the same clock. Raises TimeoutError when it has passed.
    """
    while (now := time.perf_counter()) < deadline:
        with contextlib.suppress(OSError), socket.create_connection((host, port), 1.0) as service:
            service.settimeout(max(0.05, min(5.0, deadline - now)))
            if service.recv(1):
                return time.perf_counter()
        time.sleep(PAUSE)
    raise TimeoutError(f"no byte from {host}:{port}")
