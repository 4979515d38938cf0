"""Objects as the API server gave them a moment ago: by the watch, or as a write's answer.

Spares a launch that has waited a little a request of its own. Who uses one must not tear anything
down on it, and writes only over its resourceVersion, so one that has changed since is met with a
Conflict, forgotten, and read again.
"""

import time
from collections.abc import Callable
from typing import Final

from controller.cluster.client import Object

FRESH: Final = 10.0
"""Seconds for which one counts: a watch that has been cut off tells nothing for up to 70 s."""


class Recent:
    """The objects of instances that have not been launched yet, by uid."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Nothing is known at first."""
        self._monotonic = monotonic
        self._objects: dict[str, tuple[Object, float]] = {}

    def note(self, read: Object) -> None:
        """This is the object now."""
        self._objects[read["metadata"]["uid"]] = (read, self._monotonic())

    def get(self, uid: str) -> Object | None:
        """The object, unless it is too old."""
        read, at = self._objects.get(uid, (None, 0.0))
        return read if self._monotonic() - at <= FRESH else None

    def forget(self, uid: str) -> None:
        """Whatever was noted is not to be believed any more."""
        self._objects.pop(uid, None)
