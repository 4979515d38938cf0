"""What went wrong so far with each instance of this process, and when to try again.

Kept in memory only: after a restart an instance has its whole budget again. Watch events wake an
instance at any time; this is what keeps a failing launch from being tried at each of them.
"""

from dataclasses import dataclass, replace
from typing import Final

from controller.reconcile.queue import Backoff
from controller.reconcile.result import Failed

STALLED_AFTER: Final = 3
"""Failures in a row after which somebody should look: a registry or an engine that is away for a
moment fails once or twice. It is tried again all the same."""


@dataclass
class _Record:
    failures: int = 0
    retry_at: float = 0.0
    failed: Failed | None = None


class Attempts:
    """Failed attempts by uid; times are seconds of a monotonic clock handed in."""

    def __init__(self, backoff: Backoff) -> None:
        """``backoff`` gives the waits between two attempts."""
        self._backoff = backoff
        self._records: dict[str, _Record] = {}
        self._faults: dict[str, int] = {}

    def fail(
        self, uid: str, reason: str, message: str, *, now: float, at_least: float = 0.0
    ) -> Failed:
        """Count a failure; the result says when the next attempt is due.

        ``at_least`` is in seconds, where something else sets a later time than our own back-off.
        """
        record = self._records.setdefault(uid, _Record())
        record.failures += 1
        delay = max(at_least, self._backoff.delay(record.failures))
        record.retry_at = now + delay
        record.failed = Failed(reason, message, delay, record.failures >= STALLED_AFTER)
        return record.failed

    def fault(self, uid: str, reason: str, message: str, *, after: float) -> Failed:
        """Count a look that was cut short by an error, which is no attempt and bars none.

        The next look is due ``after`` so many seconds.
        """
        self._faults[uid] = self._faults.get(uid, 0) + 1
        return Failed(reason, message, after, self._faults[uid] >= STALLED_AFTER)

    def looked(self, uid: str) -> None:
        """Forget the faults of a uid: a look has come to its end."""
        self._faults.pop(uid, None)

    def pending(self, uid: str, *, now: float) -> Failed | None:
        """The last failure while its wait lasts, with what is left of it; None when due."""
        record = self._records.get(uid)
        if record is None or record.failed is None or now >= record.retry_at:
            return None
        return replace(record.failed, after=record.retry_at - now)

    def last(self, uid: str) -> Failed | None:
        """The last failure, for who shows it until the next try is known to have helped.

        When it is due is not in it; None when there was none since the last success.
        """
        record = self._records.get(uid)
        return replace(record.failed, after=None) if record and record.failed else None

    def due(self, uid: str) -> None:
        """Let the next attempt be made at once: what failed the last one may be over."""
        if record := self._records.get(uid):
            record.retry_at = 0.0

    def delay(self, failures: int) -> float:
        """The wait in seconds after so many failures in a row, for who counts them elsewhere."""
        return self._backoff.delay(failures)

    def succeed(self, uid: str) -> None:
        """Forget what went wrong with a uid."""
        self._records.pop(uid, None)
        self._faults.pop(uid, None)
