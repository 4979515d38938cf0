"""Log lines of the process: one format, and the chatter of libraries and outages turned down.

During an outage many parts say the same every second or two. Each such line is written once, and
then once in a while with how often it came meanwhile.
"""

import json
import logging
import re
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import aiohttp

FORMAT: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
WHILE: Final = 60.0
"""Seconds for which a warning or an error is not written again that says the same."""
VARYING: Final = re.compile(r"#[0-9]+|[0-9.]+ s\b| -> .*", re.DOTALL)
"""Attempts are counted, waits grow, and kopf tells how each attempt failed: it is the same line."""
OURS: Final = "controller."
"""Where what failed and why it did are parted by a colon."""
CAUSES: Final = 3
"""How many causes of one failure are told within that time: an API server that breaks down, or a
proxy before it, answers another error each time."""
KEPT: Final = 1000
"""Things of which it is remembered at most what was said."""
WATCH: Final = ("kopf._cogs", "kopf._core")
ENDS: Final = "kopf._core.reactor.orchestration"
"""Says that a watcher has ended, be it by its session closed under it; a bug in our handlers is
told elsewhere."""
ABANDONED: Final = ("Task was destroyed but it is pending!", "async_generator_athrow")
"""What asyncio says of the tasks and generators that kopf drops when one of its operators is ended
while it lists. The second is how asyncio closes such a generator; nothing is left of either."""
EXPECTED: Final = (aiohttp.ClientError, OSError, json.JSONDecodeError, UnicodeDecodeError)
"""What a watch ends with when the way to the API server breaks; TimeoutError is an OSError."""
CLIENTS: Final = "kopf._cogs.clients"
"""Where kopf reads answers: what is raised there is about what came, no bug in our handlers."""


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

    False for what asyncio says of the same when kopf's tasks are gone, and of the callback by which
    kopf would end a request that is under way while it stops: it looks for a task where there is
    none. The request's own task is cancelled all the same.
    """
    if record.name == "asyncio" and _is_abandoned(record):
        return False
    error = record.exc_info[1] if record.exc_info else None
    if error is None or not record.name.startswith((*WATCH, "asyncio")):
        return True
    if _is_of_an_answer(error) or record.name == ENDS:
        record.exc_info = record.exc_text = None
        return record.name != "asyncio"
    if isinstance(error, EXPECTED) and record.name != "asyncio":
        record.exc_info = record.exc_text = None
    return True


def _is_of_an_answer(error: BaseException) -> bool:
    """Whether it is kopf's for what the API server said, or was met where kopf reads that."""
    modules = [type(error).__module__]
    for frame, _ in traceback.walk_tb(error.__traceback__):
        modules[1:] = [str(frame.f_globals.get("__name__"))]  # the last one is where it was raised
    return any(module.startswith(CLIENTS) for module in modules)


@dataclass
class _Told:
    """What was written of one thing."""

    causes: dict[str, float] = field(default_factory=dict)
    """Why, and when that was written."""
    left_out: int = 0
    """Lines since."""


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
        self._said: dict[str, _Told] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is to be written; tells in it of those that were not."""
        if record.levelno < logging.WARNING or record.exc_info:
            return True
        text = record.getMessage()
        what, why = VARYING.sub("", text), ""
        if record.name.startswith(OURS):
            what, _, why = what.partition(": ")
        now, key = self._now(), f"{record.name} {what}"
        told = self._said.get(key) or self._first(key, now)
        told.causes = {why: at for why, at in told.causes.items() if now - at < WHILE}
        if why in told.causes or len(told.causes) >= CAUSES:
            told.left_out += 1
            return False
        told.causes[why] = now
        if told.left_out:
            record.msg, record.args = f"{text} (and {told.left_out} times since)", ()
        told.left_out = 0
        return True

    def _first(self, key: str, now: float) -> _Told:
        """Begin to remember what is said of one thing, and forget who has been silent."""
        if len(self._said) >= KEPT:
            self._said = {
                key: told
                for key, told in self._said.items()
                if any(now - at < WHILE for at in told.causes.values())
            }
        while len(self._said) >= KEPT:
            del self._said[next(iter(self._said))]
        return self._said.setdefault(key, _Told())
