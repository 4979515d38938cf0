"""The nodes' Leases, and for how long each has been silent.

Silence is what this process has seen itself, on its own clock: hosts' clocks need not agree. Time
in which the Leases could not be read is held against nobody, nor is time in which no node at all
was heard of: when the first one returns the others get as long to return as they had left. Only a
Lease that by its own renewTime has ended long ago is believed not to be alive before it was watched
for its duration.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from controller.cluster.client import LEASES, Cluster, Object
from controller.cluster.errors import NotFound
from controller.cluster.lease import parse_micro_time

PREFIX: Final = "node-"
"""What the name of a node's Lease begins with; the node's name follows."""
CLOCKS_APART: Final = 3.0
"""Durations of a Lease that hosts' clocks may differ by."""
LOOKS: Final = 8
"""Looks at the Leases in one duration: what is seen of a node is never older than an eighth."""
PERIOD: Final = 5.0
"""Seconds between two looks at most."""


def period(duration: float) -> float:
    """Seconds between two looks at Leases of ``duration`` seconds."""
    return min(PERIOD, duration / LOOKS)


@dataclass
class Beat:
    """What is known of one Lease."""

    seen_at: float
    """When its last renewal was seen, or when it was first looked for; monotonic seconds."""
    duration: float
    renewed: str = ""
    """The last renewTime seen; empty as long as there was no Lease."""
    present: bool = False
    """Whether there was a Lease at the last look: without one nobody vouches for the node."""
    before: float = 0.0
    """Seconds of silence before it was first looked at, by its renewTime; never an overestimate."""
    excused: float = 0.0
    """Seconds since then that are not held against the node."""


@dataclass
class Heartbeats:
    """The Leases by node; ``duration`` is that of a node without one, in seconds."""

    duration: float
    monotonic: Callable[[], float] = time.monotonic
    _beats: dict[str, Beat] = field(default_factory=dict)
    _looked_at: float | None = None
    _heard_at: float = 0.0

    async def look(self, cluster: Cluster, namespace: str, names: Iterable[str]) -> None:
        """Read all Leases, and note which of ``names`` have none; raises ApiError."""
        found: dict[str, Object] = {}
        async for lease in cluster.list(LEASES, namespace):
            prefix, at, name = lease["metadata"]["name"].partition(PREFIX)
            if at and not prefix:
                found[name] = lease
        now, wanted = self.monotonic(), found.keys() | set(names)
        if self._looked_at is None:
            self._heard_at = now
        self._beats = {name: beat for name, beat in self._beats.items() if name in wanted}
        self._excuse_blindness(now)
        heard = [name for name in wanted if self._note(name, found.get(name), now)]
        if heard:
            self._excuse_silence_of_all(now)
        self._looked_at = now

    async def heard(self, cluster: Cluster, namespace: str, name: str) -> bool:
        """Whether a node has renewed its Lease since the last look; raises ApiError."""
        try:
            lease = await cluster.get(LEASES, f"{PREFIX}{name}", namespace)
        except NotFound:
            return False
        return self._note(name, lease, self.monotonic())

    def has_lease(self, name: str) -> bool:
        """Whether a Lease of that node was ever seen."""
        beat = self._beats.get(name)
        return beat is not None and bool(beat.renewed)

    def alive(self, name: str) -> bool:
        """Whether somebody vouches for the node now."""
        beat = self._beats.get(name)
        return beat is not None and self._age(beat) <= beat.duration

    def recent(self, name: str) -> bool:
        """Whether a renewal was seen within half of the Lease's duration: twice the usual time."""
        beat = self._beats.get(name)
        return beat is not None and self._age(beat) <= beat.duration / 2

    def lost(self, name: str) -> bool:
        """Whether the node was watched for its Lease's duration and not heard of."""
        beat = self._beats.get(name)
        return beat is not None and self._silence(beat) > beat.duration

    def together(self, name: str, other: str) -> bool:
        """Whether two nodes fell silent within a Lease's duration of each other."""
        one, two = self._beats.get(name), self._beats.get(other)
        return (
            one is not None
            and two is not None
            and abs(one.seen_at - two.seen_at) <= (max(one.duration, two.duration))
        )

    def unheard(self, name: str) -> float:
        """Seconds of silence up to the last look, those before this process began included."""
        beat = self._beats.get(name)
        return self._silence(beat) + beat.before if beat else 0.0

    def blind(self) -> bool:
        """Whether the Leases could not be read of late: nothing is known of the nodes then."""
        return self._looked_at is None or self.monotonic() - self._looked_at > self._patience

    @property
    def _patience(self) -> float:
        return 3 * period(self.duration)

    def _age(self, beat: Beat) -> float:
        """Seconds since the last renewal, up to the last look."""
        if not beat.present or beat.before:
            return math.inf
        return (self._looked_at or 0.0) - beat.seen_at

    def _silence(self, beat: Beat) -> float:
        """Seconds that are held against the node."""
        return max(0.0, (self._looked_at or 0.0) - beat.seen_at - beat.excused)

    def _excuse_blindness(self, now: float) -> None:
        """Nobody has looked for a while: this process was cut off, or frozen."""
        gap = 0.0 if self._looked_at is None else now - self._looked_at
        if gap > self._patience:
            self._heard_at += gap
            for beat in self._beats.values():
                beat.excused += gap

    def _excuse_silence_of_all(self, now: float) -> None:
        """Somebody was heard of again; was nobody for longer than half of a duration before?"""
        gap, self._heard_at = now - self._heard_at, now
        if gap > self.duration / 2:
            for beat in self._beats.values():
                if beat.seen_at < now:
                    beat.excused += gap

    def _note(self, name: str, lease: Object | None, now: float) -> bool:
        """Take a Lease as it is; whether it is known to have been renewed since the last time."""
        beat = self._beats.get(name)
        if beat is None:
            beat = self._beats[name] = Beat(now, self.duration)
            beat.before = _long_past(lease) if lease is not None else 0.0
        beat.present = lease is not None
        if lease is None or beat.renewed == _renewed(lease):
            return False
        first = not beat.renewed
        beat.renewed, beat.duration = _renewed(lease), _duration(lease)
        if first and beat.before:
            return False
        beat.seen_at, beat.before, beat.excused = now, 0.0, 0.0
        return True


def _renewed(lease: Object) -> str:
    return str((lease.get("spec") or {}).get("renewTime"))


def _duration(lease: Object) -> float:
    return float((lease.get("spec") or {}).get("leaseDurationSeconds") or 0)


def _long_past(lease: Object) -> float:
    """Seconds for which a Lease has certainly been silent, however far apart clocks may be.

    0 for one that may be alive. A Lease without a time that can be read counts as just ended.
    """
    renewed, duration = parse_micro_time(_renewed(lease)), _duration(lease)
    age = (datetime.now(UTC) - renewed).total_seconds() if renewed else CLOCKS_APART * duration + 1
    return age - (CLOCKS_APART - 1) * duration if age > CLOCKS_APART * duration else 0.0
