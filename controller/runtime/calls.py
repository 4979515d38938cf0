"""Requests to the engine by their kind: what is done to what, such as `container_start`.

Never by name: a kind is one of a few dozen, whatever a path holds.
"""

import re
from collections.abc import Callable
from typing import Final, Literal

Result = Literal["ok", "refused", "unavailable"]
Observer = Callable[[str, Result, float], object]
"""Called after each request, by any thread, with its kind, its result and the seconds until the
engine began to answer."""

OTHER: Final = "other"
_VERSION: Final = re.compile(r"^/v[0-9.]+")
_COLLECTIONS: Final = {
    "containers": "container",
    "networks": "network",
    "volumes": "volume",
    "images": "image",
    "exec": "exec",
}
_ACTIONS: Final = frozenset(
    {
        *("create", "start", "stop", "kill", "pause", "unpause", "rename", "wait", "logs", "exec"),
        *("connect", "disconnect", "archive"),
    }
)
_ALONE: Final = frozenset({"_ping", "version", "info", "events"})


def kind_of(method: str, path: str) -> str:
    """The kind of a request by its method and path, with or without the API's version."""
    parts = [part for part in _VERSION.sub("", path).split("/") if part]
    if len(parts) == 1 and parts[0] in _ALONE:
        return parts[0].strip("_")
    what = _COLLECTIONS.get(parts[0]) if parts else None
    if what is None:
        return OTHER
    action = parts[-1] if len(parts) > 1 else ""
    if method == "DELETE":
        return f"{what}_remove"
    if method == "GET" and (len(parts) == 1 or parts[1:] == ["json"]):
        return f"{what}_list"
    if method == "GET" and (action == "json" or len(parts) == 2):
        return f"{what}_inspect"
    return f"{what}_{action}" if action in _ACTIONS else OTHER


def nobody(call: str, result: Result, seconds: float) -> None:
    """Nobody counts."""
