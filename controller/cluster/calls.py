"""Requests to the API server by their kind: verb and resource, as its audit log has them.

Never by object: a kind is one of a few dozen, whatever a path holds.
"""

from collections.abc import Callable
from typing import Final, Literal

Result = Literal["ok", "refused", "unavailable"]
Observer = Callable[[str, str, Result, float], object]
"""Called after each request with verb, resource, result and the seconds that it took."""

OTHER: Final = "other"
RESOURCES: Final = frozenset(
    {
        *("challengeinstances", "challenges", "challengepools", "challengenodes"),
        *("leases", "events", "secrets", "configmaps", "namespaces"),
    }
)
_WRITES: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def kind_of(method: str, path: str, *, watch: bool = False) -> tuple[str, str]:
    """Verb and resource of a request, with its subresource: `leases`, `challenges/status`.

    What is not about an object or a list of ours is `other`.
    """
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]  # group and version
    if len(parts) > 2 and parts[0] == "namespaces":
        parts = parts[2:]
    plural, name, subresource = (*parts, "", "", "")[:3]
    if plural not in RESOURCES or subresource not in ("", "status"):
        return _WRITES.get(method, "get"), OTHER
    verb = _WRITES.get(method) or ("watch" if watch else "get" if name else "list")
    return verb, f"{plural}/{subresource}" if subresource else plural


def nobody(verb: str, resource: str, result: Result, seconds: float) -> None:
    """Nobody counts."""
