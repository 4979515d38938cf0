"""The sizeLimits of volumes on disk: who has them, and who is over one.

Looks at the folders every so often, one instance after the other, in a thread that works a fifth of
the time at most, however much there is to be looked at. It stops nobody: who is over a limit is
woken, and the step `storage` acts.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from controller.runtime import tree

logger = logging.getLogger(__name__)

REST: Final = 4.0
"""Seconds of rest after each second of looking: players say how many files there are."""


@dataclass(frozen=True)
class Limit:
    """A volume's folder, and the bytes that may be in it."""

    volume: str
    folder: Path
    limit: int


@dataclass(frozen=True)
class Usage:
    """The bytes that are in a volume, at least; None when it cannot be measured."""

    limit: Limit
    used: int | None

    @property
    def exceeded(self) -> bool:
        """Whether it is over its limit; what cannot be measured is."""
        return self.used is None or self.used > self.limit.limit


@dataclass
class VolumeLimits:
    """The instances with limits, by uid, and what was found of those over one."""

    _limits: dict[str, list[Limit]] = field(default_factory=dict)
    _exceeded: dict[str, str] = field(default_factory=dict)

    def watch(self, uid: str, limits: list[Limit]) -> None:
        """Look at these from now on."""
        if self._limits.get(uid) != limits:
            self._limits[uid] = limits

    def renew(self, uid: str) -> None:
        """The uid's volumes are empty again: what was found, or is being found, is over."""
        self._exceeded.pop(uid, None)
        if uid in self._limits:
            self._limits[uid] = list(self._limits[uid])

    def forget(self, uid: str) -> None:
        """Look at the uid's no more; what was found is forgotten too."""
        self._limits.pop(uid, None)
        self._exceeded.pop(uid, None)

    def exceeded(self, uid: str) -> str:
        """What was found, for the user; empty when nothing was."""
        return self._exceeded.get(uid, "")

    async def sample(self) -> AsyncIterator[str]:
        """Look once at all of them; yields the uids that are newly over a limit."""
        for uid, limits in list(self._limits.items()):
            if uid in self._exceeded or self._limits.get(uid) is not limits:
                continue
            began = time.monotonic()
            usages = await asyncio.to_thread(usage, limits)
            took = time.monotonic() - began
            over = next((each for each in usages if each.exceeded), None)
            if over and self._limits.get(uid) is limits:
                self._exceeded[uid] = _message(over)
                yield uid
            await asyncio.sleep(took * REST)


def usage(limits: list[Limit]) -> list[Usage]:
    """What is in each of the volumes; one that is not there is left out. Blocks."""
    found = []
    for each in limits:
        try:
            found.append(Usage(each, tree.usage(each.folder, each.limit)))
        except FileNotFoundError:
            continue
        except OSError as error:
            logger.warning("Cannot look at the volume in %s: %s", each.folder, error.strerror)
    return found


async def keep_sampling(
    limits: VolumeLimits, wake: Callable[[str], object], *, period: float
) -> None:
    """Look every ``period`` seconds until cancelled, and wake the instances over a limit."""
    while True:
        await asyncio.sleep(period)
        async for uid in limits.sample():
            wake(uid)


def paths(volumes: Mapping[str, int], folder: Path) -> list[Limit]:
    """The limits of volumes by their names, which are folders below that one."""
    return [Limit(name, folder / name, limit) for name, limit in volumes.items()]


def _message(over: Usage) -> str:
    limit = f"its sizeLimit is {_amount(over.limit.limit)}"
    if over.used is None:
        held = f"more than {tree.MOST_ENTRIES} files, or folders over {tree.MOST_DEPTH} deep"
    else:
        held = f"{_amount(over.used)} or more"
    return (
        f"Volume {over.limit.volume} holds {held}; {limit}. The instance was stopped and is not "
        "started again; delete it"
    )


def _amount(size: int) -> str:
    return f"{size / 2**10:.0f} KiB" if size < 2**20 else f"{size / 2**20:.1f} MiB"
