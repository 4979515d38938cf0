"""The work queue: who is to be reconciled, one at a time per uid, with back-off.

Deduplicated by uid: a wake-up during a reconcile leads to exactly one more. A reconcile that fails
is tried again after a growing, jittered time. It knows nothing of what a reconcile does.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

logger = logging.getLogger(__name__)

WORKERS: Final = 96
"""Reconciles at most at a time: a gate of 64 launches and 32 that read and write beside them."""


@dataclass(frozen=True)
class Key:
    """An instance: its uid, and where to read it."""

    uid: str
    namespace: str
    name: str


@dataclass
class Backoff:
    """Waits that double from ``initial`` to ``maximum`` seconds, spread by up to a fifth."""

    initial: float
    maximum: float
    random: Random

    def delay(self, failures: int) -> float:
        """The wait after the so-manieth failure in a row, counted from 1."""
        plain = min(self.maximum, self.initial * 2.0 ** min(failures - 1, 30))
        return plain * (1 + self.random.uniform(-0.2, 0.2))


@dataclass
class _Entry:
    key: Key
    dirty: bool = False
    running: bool = False
    forgotten: bool = False
    failures: int = 0
    timer: asyncio.TimerHandle | None = None
    due: float = field(default=float("inf"))


class WorkQueue:
    """Runs ``reconcile(key)``; its result is the time in seconds to the next look, or None."""

    def __init__(
        self,
        reconcile: Callable[[Key], Awaitable[float | None]],
        backoff: Backoff,
        *,
        expected: tuple[type[Exception], ...] = (),
        workers: int = WORKERS,
    ) -> None:
        """``workers`` reconciles at most at a time; ``expected`` errors are logged in one line."""
        self._expected = expected
        self._reconcile = reconcile
        self._backoff = backoff
        self._slots = asyncio.Semaphore(workers)
        self._entries: dict[str, _Entry] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    def __len__(self) -> int:
        """Instances known: woken once and not forgotten."""
        return len(self._entries)

    def wake(self, key: Key) -> None:
        """Reconcile as soon as possible, once."""
        self._start(self._entry(key))

    def wake_uid(self, uid: str) -> bool:
        """The same for a uid that is known; False for one that was forgotten."""
        if entry := self._entries.get(uid):
            self._start(entry)
        return entry is not None

    def wake_after(self, key: Key, delay: float) -> None:
        """Reconcile after ``delay`` seconds, unless an earlier time is already set."""
        entry = self._entry(key)
        loop = asyncio.get_running_loop()
        due = loop.time() + max(0.0, delay)
        if due >= entry.due:
            return
        if entry.timer:
            entry.timer.cancel()
        entry.due = due
        entry.timer = loop.call_at(due, self._start, entry)

    def running(self, uid: str) -> bool:
        """Whether the uid is being reconciled at this moment."""
        entry = self._entries.get(uid)
        return entry is not None and entry.running

    def busy(self, uid: str) -> bool:
        """Whether the uid is being reconciled, or is to be once more since that has failed."""
        entry = self._entries.get(uid)
        return entry is not None and (entry.running or entry.failures > 0)

    def forget(self, uid: str) -> None:
        """Drop a uid, its timer and its failures, once its running reconcile has ended."""
        if entry := self._entries.get(uid):
            entry.forgotten = True
            if not entry.running:
                self._drop(entry)

    def known(self) -> list[Key]:
        """Every instance known."""
        return [entry.key for entry in self._entries.values()]

    async def stop(self, deadline: float) -> None:
        """Start nothing more and let what runs end; cancel it after ``deadline`` seconds."""
        self._stopping = True
        for entry in self._entries.values():
            if entry.timer:
                entry.timer.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=deadline)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _entry(self, key: Key) -> _Entry:
        entry = self._entries.setdefault(key.uid, _Entry(key))
        entry.key, entry.forgotten = key, False
        return entry

    def _start(self, entry: _Entry) -> None:
        if entry.timer:
            entry.timer.cancel()
        entry.timer, entry.due = None, float("inf")
        if self._stopping:
            return
        if entry.running:
            entry.dirty = True
            return
        entry.running = True
        task = asyncio.create_task(self._run(entry), name=f"reconcile {entry.key.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, entry: _Entry) -> None:
        async with self._slots:
            entry.dirty = entry.forgotten = False
            after = await self._attempt(entry)
        entry.running = False
        if entry.dirty:
            # Woken meanwhile: look once more, even if nothing was left of it a moment ago.
            self._start(entry)
        elif entry.forgotten:
            self._drop(entry)
        elif after is not None:
            self.wake_after(entry.key, after)

    async def _attempt(self, entry: _Entry) -> float | None:
        key = entry.key
        try:
            after = await self._reconcile(key)
        except Exception as error:  # the outermost loop of a worker
            entry.failures += 1
            delay = self._backoff.delay(entry.failures)
            logger.warning(
                "Reconciling %s/%s failed, again in %.1f s: %s: %s",
                key.namespace,
                key.name,
                delay,
                type(error).__name__,
                error,
                exc_info=None if isinstance(error, self._expected) else error,
            )
            return delay
        entry.failures = 0
        return after

    def _drop(self, entry: _Entry) -> None:
        if entry.timer:
            entry.timer.cancel()
        self._entries.pop(entry.key.uid, None)
