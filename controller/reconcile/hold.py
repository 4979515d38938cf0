"""The hold: instances that have vanished from the API server by the many are left running.

An **orphan** is an instance that is here and that the API server does not know, though nobody was
seen to delete it. A few are torn down at once: somebody has taken off a finalizer by hand. If more
than a fifth of the node's instances, and more than five, become orphans within `orphan_hold`, a
backup was restored or the cluster is the wrong one: each is kept for that long, unless it comes
back, its time is over, or the node's operator confirms that it is to go.

Remembers and counts; asks nobody and takes nothing away. What it holds is in the ledger, so that a
restart of the agent changes nothing.
"""

import json
import math
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from controller.reconcile.clock import Clock
from controller.reconcile.queue import Key

FEW: Final = 5
"""Orphans that are torn down at once, whatever their share."""
SHARE: Final = 0.2
"""The share of a node's instances that are."""
NAMED: Final = 3
"""Orphans that the node's condition names; the others are counted."""
META: Final = "orphans"
"""Where the ledger has them."""


@dataclass
class Orphan:
    """An instance that has vanished; ``since`` is in seconds UTC, ``found`` in monotonic ones."""

    key: Key
    since: int
    found: float
    held: bool = False
    confirmed: bool = False
    gone: bool = False
    """Whether nothing is left of it here; it still counts for a while."""
    told: bool = False
    """Whether it was said that it is held no more."""


@dataclass(frozen=True)
class Held:
    """Who is held, in short; the last of them until ``until``, unless somebody confirms."""

    instances: int
    names: str
    since: datetime
    until: datetime


class Hold:
    """The orphans of one node."""

    def __init__(
        self,
        duration: float,
        clock: Clock,
        wake: Callable[[str], object],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``duration`` is in seconds; ``wake`` has a uid looked at that need be held no more."""
        self._duration = duration
        self._clock, self._monotonic = clock, monotonic
        self._wake = wake
        self._orphans: dict[str, Orphan] = {}
        self._deleting: dict[str, float] = {}
        self.changed: Callable[[], None] = lambda: None
        """Called when the node has something else to say of it."""

    # -- what is asked --------------------------------------------------------------------------

    def keeps(self, uid: str) -> bool:
        """Whether everything of that uid is to be left as it is."""
        orphan = self._orphans.get(uid)
        return orphan is not None and self._is_kept(orphan)

    def left(self, uid: str) -> float:
        """Seconds for which a uid that is kept will be."""
        return max(0.0, self._orphans[uid].found + self._duration - self._monotonic())

    def is_judged(self, uid: str) -> bool:
        """Whether it was decided, held or not, what becomes of an orphan."""
        orphan = self._orphans.get(uid)
        return orphan is not None and not orphan.gone

    def is_deleting(self, uid: str) -> bool:
        """Whether the instance was seen being deleted, so that its end is no surprise."""
        return uid in self._deleting

    def summary(self) -> Held | None:
        """Who is held now; None when nobody is."""
        held = self._held()
        if not held:
            return None
        names = sorted(f"{orphan.key.namespace}/{orphan.key.name}" for orphan in held)
        more = f" and {len(held) - NAMED} more" if len(held) > NAMED else ""
        return Held(
            instances=len(held),
            names=", ".join(names[:NAMED]) + more,
            since=datetime.fromtimestamp(min(orphan.since for orphan in held), UTC),
            until=datetime.fromtimestamp(max(map(self._until, held)), UTC),
        )

    def uids(self) -> set[str]:
        """Who is held now."""
        return {orphan.key.uid for orphan in self._held()}

    # -- what is told ---------------------------------------------------------------------------

    def deleting(self, uid: str) -> None:
        """The instance bears a deletionTimestamp: when it is gone, it was deleted."""
        now = self._monotonic()
        for old, at in list(self._deleting.items()):  # the oldest come first
            if now - at <= self._duration:
                break
            del self._deleting[old]
        self._deleting.setdefault(uid, now)

    def present(self, uid: str) -> bool:
        """The API server has it, and it is not being deleted; whether what `dump` says changes."""
        self._deleting.pop(uid, None)
        orphan = self._orphans.pop(uid, None)
        if orphan is None or not orphan.held:
            return False
        self.changed()
        return True

    def gone(self, uid: str) -> None:
        """Nothing of it is left here."""
        orphan = self._orphans.get(uid)
        if orphan is not None:
            orphan.gone = True
            self.changed()

    def judge(self, missing: Iterable[Key], known: Collection[str]) -> list[Orphan]:
        """Decide on all that are missing now, of those ``known``; who is held anew.

        ``known`` are the uids of all instances that are here, the missing ones too.
        """
        now, since = self._monotonic(), math.ceil(self._clock.now().timestamp())
        for uid, orphan in list(self._orphans.items()):
            is_old = now - orphan.found > self._duration
            if is_old if orphan.gone else uid not in known:
                del self._orphans[uid]
        for key in missing:
            before = self._orphans.get(key.uid)
            if before is None or before.gone:
                self._orphans[key.uid] = Orphan(key, since, now)
        counted = [
            orphan
            for orphan in self._orphans.values()
            if not orphan.confirmed and now - orphan.found < self._duration
        ]
        gone = {uid for uid, orphan in self._orphans.items() if orphan.gone}
        if len(counted) <= max(FEW, SHARE * len(gone | set(known))):
            return []
        anew = [orphan for orphan in counted if not (orphan.held or orphan.gone)]
        for orphan in anew:
            orphan.held = True
        if anew:
            self.changed()
        return anew

    def confirm(self, until: str) -> None:
        """The operator wants those gone that are held until then or less long (RFC 3339).

        It has to be when the hold of one of them ends: what was confirmed of an earlier hold says
        nothing of this one, whatever the duration was then, or the clock.
        """
        try:
            moment = datetime.fromisoformat(until).timestamp()
        except ValueError:
            return
        held = self._held()
        if moment not in {self._until(orphan) for orphan in held}:
            return
        for orphan in held:
            if self._until(orphan) <= moment:
                orphan.confirmed = True
                self._wake(orphan.key.uid)
                self.changed()

    def ended(self) -> list[Orphan]:
        """Those that were held and are no more, each once."""
        over = [
            orphan
            for orphan in self._orphans.values()
            if orphan.held and not orphan.told and not self._is_kept(orphan)
        ]
        for orphan in over:
            orphan.told = True
        return over

    # -- over a restart -------------------------------------------------------------------------

    def dump(self) -> str:
        """Who is held, for the ledger."""
        held = [(orphan.key, orphan.since) for orphan in self._orphans.values() if orphan.held]
        return json.dumps([[key.uid, key.namespace, key.name, since] for key, since in held])

    def load(self, text: str | None, uids: Collection[str]) -> None:
        """Go on from what was dumped, as far as these uids are still here."""
        now, wall = self._monotonic(), self._clock.now().timestamp()
        for uid, namespace, name, since in json.loads(text or "[]"):
            if uid in uids:
                # Whatever a clock has done meanwhile: neither for ever, nor longer than at first.
                passed = min(max(0.0, wall - since), self._duration)
                self._orphans[uid] = Orphan(
                    Key(uid, namespace, name), since, now - passed, held=True
                )

    def _held(self) -> list[Orphan]:
        return [orphan for orphan in self._orphans.values() if self._is_kept(orphan)]

    def _is_kept(self, orphan: Orphan) -> bool:
        if not orphan.held or orphan.confirmed or orphan.gone:
            return False
        return self._monotonic() - orphan.found < self._duration

    def _until(self, orphan: Orphan) -> int:
        return orphan.since + math.ceil(self._duration)
