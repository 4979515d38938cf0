"""The address that players are told."""

import socket
from urllib.parse import urlsplit


def towards(server: str) -> str:
    """This host's address on the way to ``server`` (a URL); nothing is sent.

    Falls back to 127.0.0.1 when there is no way.
    """
    parts = urlsplit(server)
    host, port = parts.hostname or "127.0.0.1", parts.port or 443
    try:
        family, kind, *_, target = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(target)
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1"
