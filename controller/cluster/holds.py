"""What the API server has asked to be left alone with, and until when (``Retry-After``).

Each resource is held by itself: it is in too much demand, or not ready yet, while others are
served, the Leases above all. client-go lets the request wait that was refused; here all others of
the resource wait as well, since whoever comes next would be refused the same.
"""

import time
from collections.abc import Callable
from typing import Final

from controller.cluster.errors import ApiError, ApiUnavailable

LONGEST: Final = 60.0
"""Seconds at most: rather one request a minute than a node that a slip has silenced for a day."""
TOO_MANY_REQUESTS: Final = 429


class Holds:
    """The resources that are held."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """None is at first."""
        self._monotonic = monotonic
        self._until: dict[str, float] = {}

    def note(self, path: str, refusal: ApiError) -> None:
        """Take note of what a refusal says of when to come again."""
        if isinstance(refusal, ApiUnavailable) and refusal.retry_after:
            until = self._monotonic() + min(LONGEST, refusal.retry_after)
            self._until[_resource(path)] = until

    def check(self, path: str) -> None:
        """Raise ApiUnavailable, as the API server would, while the path's resource is held."""
        left = self._until.get(_resource(path), 0.0) - self._monotonic()
        if left > 0:
            message = "The API server has asked for a pause, which is not over yet"
            raise ApiUnavailable(message, status=TOO_MANY_REQUESTS, retry_after=left)


def _resource(path: str) -> str:
    """``/apis/group/version/plural`` of a path to an object or a collection, without namespace."""
    parts = path.split("/")
    root = 3 if parts[1:2] == ["api"] else 4
    if parts[root : root + 1] == ["namespaces"] and len(parts) > root + 2:
        del parts[root : root + 2]
    return "/".join(parts[: root + 1])
