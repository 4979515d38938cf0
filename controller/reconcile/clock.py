"""The time, handed in, so that a test can set it."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where a reconcile takes its "now" from, once."""

    def now(self) -> datetime:
        """The time in UTC, to the second as Kubernetes writes it or finer."""
        ...


class SystemClock:
    """The host's clock."""

    def now(self) -> datetime:
        """The time in UTC."""
        return datetime.now(UTC)


def milliseconds(moment: datetime) -> int:
    """A time as the ledger has it: integer milliseconds since 1970, UTC."""
    return int(moment.timestamp() * 1000)
