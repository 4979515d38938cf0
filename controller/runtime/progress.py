"""How far a pull is, in words, at a pace for people.

Must not know who reads the words, nor what a pull is made of beyond the engine's lines about it.
"""

from collections.abc import Callable
from typing import Any, Final

_MEGABYTE = 1_000_000

FIRST_CHANGE: Final = 10.0
LAST_CHANGE: Final = 60.0
"""Seconds between two changes of the words: 10 at first, then twice as long each time, 60 at most.
Each reader writes a change to the API server, and many can wait for one image."""


class Layers:
    """The layers of an image and how much of them is there."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}

    def take(self, told: dict[str, Any]) -> str:
        """Take one line of the engine's in; returns all of it in a few words."""
        layer, status = str(told.get("id", "")), str(told.get("status", ""))
        detail = told.get("progressDetail") or {}
        if status == "Downloading" and detail.get("total"):
            self._layers[layer] = (int(detail.get("current", 0)), int(detail["total"]))
        elif status in ("Download complete", "Pull complete") and layer in self._layers:
            total = self._layers[layer][1]
            self._layers[layer] = (total, total)
        if not self._layers:
            return status
        here = sum(current for current, _ in self._layers.values()) / _MEGABYTE
        total_size = sum(total for _, total in self._layers.values()) / _MEGABYTE
        return f"{here:.0f} of {total_size:.0f} MB"


class Pace:
    """Words that change often, let through seldom. `clock` tells seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.latest = "waiting for other pulls"
        self._clock = clock
        self._shown = ""
        self._wait = FIRST_CHANGE
        self._due = clock() + FIRST_CHANGE

    def shown(self) -> str:
        """The words for everybody to show; empty until the first change is due."""
        now = self._clock()
        if now >= self._due:
            self._shown = self.latest
            self._wait = min(self._wait * 2, LAST_CHANGE)
            self._due = now + self._wait
        return self._shown

    def left(self) -> float:
        """Seconds until they may be others."""
        return max(0.0, self._due - self._clock())
