"""Log lines of the process: one format, and the chatter of libraries and outages turned down.

During an outage many parts say the same every second or two. Each such line is written once, and
then once in a while with how often it came meanwhile.
"""

import json
import logging
import re
import time
from collections.abc import Callable
from typing import Final

import aiohttp

FORMAT: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
WHILE: Final = 60.0
"""Seconds for which a warning or an error is not written again that says the same."""
VARYING: Final = re.compile(r"#[0-9]+|[0-9.]+ s\b| -> .*", re.DOTALL)
"""Attempts are counted, waits grow, and kopf tells how each attempt failed: it is the same line."""
KEPT: Final = 1000
"""Lines that are remembered at most."""
WATCH: Final = ("kopf._cogs", "kopf._core")
ENDS: Final = "kopf._core.reactor.orchestration"
"""Says that a watcher has ended, be it by its session closed under it; a bug in our handlers is
told elsewhere."""
ABANDONED: Final = ("Task was destroyed but it is pending!", "async_generator_athrow")
"""What asyncio says of the tasks and generators that kopf drops when one of its operators is ended
while it lists. The second is how asyncio closes such a generator; nothing is left of either."""
EXPECTED: Final = (aiohttp.ClientError, OSError, json.JSONDecodeError, UnicodeDecodeError)
"""What a watch ends with when the way to the API server breaks; TimeoutError is an OSError."""


def configure(level: str) -> None:
    """Log to standard error from ``level`` on; kopf logs a line for each event, which is cut."""
    logging.basicConfig(format=FORMAT, level=level.upper())
    logging.getLogger("controller").setLevel(level.upper())
    for name in ("kopf", "kopf.objects", "kopf.activities", "aiohttp", "docker", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(without_trace)
        handler.addFilter(Repeats().filter)


def without_trace(record: logging.LogRecord) -> bool:
    """Take the trace out of a line in which kopf says that its watch was cut; it tells nothing.

    False for what asyncio says of the same when kopf's tasks are gone.
    """
    if record.name == "asyncio" and _is_abandoned(record):
        return False
    error = record.exc_info[1] if record.exc_info else None
    if error is None or not record.name.startswith((*WATCH, "asyncio")):
        return True
    if type(error).__module__.startswith("kopf._cogs.clients") or record.name == ENDS:
        record.exc_info = record.exc_text = None
        return record.name != "asyncio"
    if isinstance(error, EXPECTED) and record.name != "asyncio":
        record.exc_info = record.exc_text = None
    return True


def _is_abandoned(record: logging.LogRecord) -> bool:
    """Whether asyncio tells of something that kopf has left behind."""
    text = record.getMessage()
    destroyed, closed = ABANDONED
    if record.exc_info is None:
        return text.startswith(destroyed) and "/kopf/" in text
    return closed in text and isinstance(record.exc_info[1], RuntimeError)


class Repeats:
    """Writes warnings and errors that say the same once in a while only."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """``now`` is a clock that only goes forward, in seconds."""
        self._now = now
        self._said: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is to be written; tells in it of those that were not."""
        if record.levelno < logging.WARNING or record.exc_info:
            return True
        text = record.getMessage()
        key = f"{record.name} {VARYING.sub('', text)}"
        now = self._now()
        begun, left_out = self._said.get(key, (float("-inf"), 0))
        if now - begun < WHILE:
            self._said[key] = begun, left_out + 1
            return False
        self._forget_old(now)
        self._said[key] = now, 0
        if left_out:
            record.msg, record.args = f"{text} (and {left_out} times since)", ()
        return True

    def _forget_old(self, now: float) -> None:
        if len(self._said) >= KEPT:
            self._said = {k: v for k, v in self._said.items() if now - v[0] < WHILE}
        while len(self._said) >= KEPT:
            del self._said[next(iter(self._said))]
