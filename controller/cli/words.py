"""Times, amounts and other people's words, as a table shows them. Pure functions."""

from datetime import UTC, datetime, timedelta
from typing import Final

NONE: Final = "-"
"""What is not known or does not apply."""
UNITS: Final = ("", "Ki", "Mi", "Gi", "Ti")


def span(time: timedelta) -> str:
    """A length of time in one or two units, as kubectl has ages: 43s, 5m12s, 3h20m, 12d."""
    seconds = max(0, int(time.total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if days < 2:
        return f"{hours}h"
    return _two(days, "d", hours % 24, "h") if days < 8 else f"{days}d"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}" + (f"{small}{small_unit}" if small else "")


def age(since: datetime | None, now: datetime) -> str:
    """How long ago a time was."""
    return span(now - since) if since else NONE


def clock(moment: datetime) -> str:
    """A time that people compare with a clock: UTC, to the minute."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def amount(size: int | None) -> str:
    """Bytes in the largest unit that leaves at least 1: 512Mi, 1.5Gi."""
    if size is None:
        return NONE
    power = 0
    while power < len(UNITS) - 1 and size >= 1024 ** (power + 1):
        power += 1
    value = size / 1024**power
    digits = 0 if value >= 10 or value == int(value) else 1
    return f"{value:.{digits}f}{UNITS[power]}"


def part(taken: object, whole: object) -> str:
    """`taken/whole`; what is not known is a dash."""
    shown = [NONE if value is None or value == NONE else str(value) for value in (taken, whole)]
    return NONE if shown == [NONE, NONE] else "/".join(shown)


def count(number: int, one: str, many: str = "") -> str:
    """`1 instance`, `2 instances`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def printable(text: str) -> str:
    """Text that cannot steer a terminal: an engine's message can quote what a container wrote."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
