"""Does what users do, and keeps their book: which instances they have, and how these should be.

A request that was not answered is made again until it is, as a portal would; so a step may take as
long as an outage. Steps about one name follow each other, those about others do not wait for them.
"""

import queue
import threading
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from hack.bed.audit import Wanted
from hack.chaosrun.api import Api, NoAnswer, Object, Refused
from hack.chaosrun.journal import Journal
from hack.chaosrun.manifests import STEP_LABEL, instance
from hack.chaosrun.plan import MOST_SHIFT, Step

WORKERS: Final = 6
RETRY: Final = 0.5
PATIENCE: Final = 240.0
"""Seconds that one step is tried for: longer than any fault, and than a removal waits for one."""


class Load:
    """Users at work."""

    def __init__(self, api: Api, namespace: str, journal: Journal) -> None:
        """Nothing is done before `start`."""
        self._api, self._namespace, self._journal = api, namespace, journal
        self.book = Book(namespace)
        self._stop = threading.Event()
        self._queues: list[queue.SimpleQueue[Step | None]] = [
            queue.SimpleQueue() for _ in range(WORKERS)
        ]
        self._threads = [
            threading.Thread(target=self._work, args=(each,), name="user", daemon=True)
            for each in self._queues
        ]

    def start(self, steps: Iterable[Step]) -> None:
        """Begin; returns at once."""
        pump = threading.Thread(target=self._pump, args=(tuple(steps),), name="load", daemon=True)
        self._threads.insert(0, pump)
        for thread in self._threads:
            thread.start()

    def join(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds until all steps are done; whether they are."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """Do nothing more."""
        self._stop.set()

    def wanted(self) -> list[Wanted]:
        """What users have, by their own book."""
        return self.book.wanted()

    def _pump(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            if self._stop.wait(max(0.0, step.at - self._journal.now)):
                break
            self._queues[zlib.crc32(step.target.encode()) % WORKERS].put(step)
        for each in self._queues:
            each.put(None)

    def _work(self, steps: "queue.SimpleQueue[Step | None]") -> None:
        while (step := steps.get()) is not None and not self._stop.is_set():
            self._insist(step)
        self._api.close()

    def _insist(self, step: Step) -> None:
        """Do a step until it was answered."""
        deadline = time.monotonic() + PATIENCE
        tries, said = 0, ""
        while time.monotonic() < deadline:
            tries += 1
            try:
                text = self._do(step)
            except (NoAnswer, Refused) as error:
                said = str(error)
                if self._stop.wait(RETRY):
                    return
                continue
            if text:
                self._journal.count(step.value if step.value in ("short", "retain") else step.kind)
                again = f" (try {tries}, before: {said})" if tries > 1 else ""
                self._journal.note(f"{step}: {text}{again}")
                return
            if self._stop.wait(RETRY):
                return
        self._journal.found(f"{step} could not be done in {PATIENCE:.0f} s: {said or 'no reason'}")

    def _do(self, step: Step) -> str:
        """What came of it; empty when it has to be tried again."""
        if step.kind == "create":
            return self._create(step)
        if step.kind == "node":
            return self._set(step)
        uid = self.book.uid(step.number)
        if uid is None:
            return "there is none"
        return self._delete(step, uid) if step.kind == "delete" else self._change(step, uid)

    def _create(self, step: Step) -> str:
        try:
            made = self._api.create(instance(step))
        except Refused as refused:
            if refused.code != 409:
                raise
            made = self._api.instance(step.target)
            if made["metadata"]["labels"].get(STEP_LABEL) != str(step.number):
                return ""  # the one before it is still on its way out
        self.book.created(step, made["metadata"]["uid"])
        return str(made["metadata"]["uid"])

    def _delete(self, step: Step, uid: str) -> str:
        self.book.deleted(step.number)
        try:
            self._api.delete(step.target, uid)
        except Refused as refused:
            if refused.code not in (404, 409):
                raise
        return uid

    def _change(self, step: Step, uid: str) -> str:
        now = datetime.now(UTC)
        spec: Object = {"suspended": step.kind == "suspend"}
        if step.kind == "renew":
            spec = {"renewTime": now.strftime("%Y-%m-%dT%H:%M:%SZ")}
        try:
            changed = self._api.patch(step.target, spec)
        except Refused as refused:
            if refused.code != 404:
                raise
            self._journal.found(f"{step}: {step.target} ({uid}) is lost: it is not there")
            return "lost"
        if changed["metadata"]["uid"] != uid:
            self._journal.found(f"{step}: {step.target} ({uid}) is lost: the name is another's")
        self.book.changed(step, now)
        return uid

    def _set(self, step: Step) -> str:
        name, _, value = step.value.partition("=")
        wanted = {"null": None, "true": True}.get(value, value)
        self._api.patch_node(step.target, {name: int(value) if value.isdecimal() else wanted})
        return "set"


@dataclass(frozen=True)
class _Entry:
    """A creation and what has been asked of the instance since."""

    wanted: Wanted
    is_deleted: bool = False


class Book:
    """What users have, by the number of its creation; several threads may write."""

    def __init__(self, namespace: str) -> None:
        """Nothing at first."""
        self._namespace = namespace
        self._entries: dict[int, _Entry] = {}
        self._writing = threading.Lock()

    def uid(self, number: int) -> str | None:
        """The uid that a creation came to."""
        with self._writing:
            entry = self._entries.get(number)
            return entry.wanted.uid if entry else None

    def created(self, step: Step, uid: str) -> None:
        """An instance was created."""
        brief = step.value == "short"
        wanted = Wanted(self._namespace, step.target, uid, may_be_gone=brief)
        with self._writing:
            self._entries[step.number] = _Entry(wanted)

    def deleted(self, number: int) -> None:
        """It may be gone from now on: its deletion was asked for."""
        with self._writing:
            self._entries[number] = replace(self._entries[number], is_deleted=True)

    def changed(self, step: Step, now: datetime) -> None:
        """It was suspended, resumed or renewed."""
        with self._writing:
            entry = self._entries[step.number]
            wanted = entry.wanted
            if step.kind == "renew":
                # A clock that is wrong may have said that it was renewed that much earlier; times
                # are cut to seconds.
                end = now + timedelta(seconds=step.ttl - MOST_SHIFT - 2)
                wanted = replace(wanted, lives_until=end)
            else:
                state = "Suspended" if step.kind == "suspend" else "Ready"
                wanted = replace(wanted, state=state)
            self._entries[step.number] = replace(entry, wanted=wanted)

    def wanted(self) -> list[Wanted]:
        """All that were not deleted."""
        with self._writing:
            return [each.wanted for each in self._entries.values() if not each.is_deleted]
