"""The life of an instance, step by step: read what is wanted and what is there, do the next step.

    Admit → Expire → Recover → Isolate → Reserve → Relaunch → PullImages → Storage → Launch
    → Suspend → Probe → (status) → Finalize
    removal: Stop → Release → Forget

Level-triggered: every reconcile starts from the object as the API server has it now, the ledger's
row and the engine's containers, and may be cut off anywhere. Torn down is only what is being
deleted, belongs to another uid or node in the object as read, or is unknown to the very cluster
that the ledger was made for, as long as not too many are at once (see `hold`). Whose time is over
ends even while the API server cannot be asked.
"""

import math
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from controller.api import conditions, reasons
from controller.cluster.client import INSTANCES, Object
from controller.cluster.errors import ApiUnavailable, Conflict, Forbidden, NotFound
from controller.ledger import Instance as Row
from controller.ledger import Ledger
from controller.reconcile import collect, teardown
from controller.reconcile.admit import admit
from controller.reconcile.census import Census
from controller.reconcile.clock import milliseconds
from controller.reconcile.expire import cut, deadline, expire
from controller.reconcile.finalize import finalize
from controller.reconcile.forget import forget
from controller.reconcile.isolate import isolate
from controller.reconcile.launch import launch
from controller.reconcile.probe import probe
from controller.reconcile.pull import pull
from controller.reconcile.queue import Key
from controller.reconcile.recover import not_begun, recover
from controller.reconcile.regain import regain
from controller.reconcile.relaunch import relaunch
from controller.reconcile.release import release, tidy
from controller.reconcile.reserve import reserve
from controller.reconcile.result import DONE, Done, Result, Waiting
from controller.reconcile.services import Services
from controller.reconcile.stop import GRACE_DEFAULT, stop
from controller.reconcile.storage import storage
from controller.reconcile.summary import summarize
from controller.reconcile.suspend import suspend
from controller.reconcile.work import Work
from controller.runtime.errors import EngineUnavailable, RuntimeFault

Step = Callable[[Work], Awaitable[Result]]

STEPS: tuple[Step, ...] = (
    admit,
    expire,
    recover,
    isolate,
    reserve,
    relaunch,
    pull,
    storage,
    launch,
    suspend,
    probe,
)

READ_AGAIN: Final = 0.05
"""Seconds to the next look at an instance that has changed meanwhile; doubles with each such."""
READ_AGAIN_AT_LAST: Final = 5.0
"""The longest of these waits: whoever is faster each time must not be raced for ever."""
UNPLACED_RETRY = 5.0
"""Seconds to the next look at an instance that was taken off this node and has no other yet: no
watch of ours brings its placement elsewhere."""
ENGINE_RETRY = 5.0
QUEUE_PATIENCE: Final = 10.0
"""Seconds in the queue after which the status tells more of it than the placement did: most are
launched by then, and a write less is a launch sooner on a node that has the API server too."""


class InstanceReconciler:
    """Reconciles the instances of one node."""

    def __init__(self, services: Services, forget: Callable[[str], None]) -> None:
        """``forget`` drops a uid of which nothing is left from the work queue."""
        self._services = services
        self._census = Census(services)
        self._forget = forget
        self._conflicts: dict[str, int] = {}

    async def reconcile(self, key: Key) -> float | None:
        """Bring one instance further; the result is the time in seconds to the next look."""
        gate = self._services.gate
        held = gate.holds(key.uid)
        before = self._conflicts.pop(key.uid, 0)
        try:
            return await self._reconcile(key)
        except Conflict:
            # Changed since it was read: what is right may have changed as well.
            self._services.recent.forget(key.uid)
            self._conflicts[key.uid] = before + 1
            return min(READ_AGAIN_AT_LAST, READ_AGAIN * 2.0 ** min(before, 10))
        finally:
            # A slot that was granted before and not used is given on: it must not wait with us.
            if held and gate.holds(key.uid):
                gate.release(key.uid)

    async def _reconcile(self, key: Key) -> float | None:
        services = self._services
        row = await services.book(Ledger.get, key.uid)
        try:
            services.home.check()
            read = self._told(key, row) or await self._read(key)
        except (ApiUnavailable, Forbidden):  # whose token has ended is cut off as well
            await self._end_overdue(key, row)
            raise
        if read is None:
            return await self._vanished(key, row)
        is_deleting = read["metadata"].get("deletionTimestamp")
        await self._census.exists(key.uid, deleting=bool(is_deleting))
        node = (read.get("status") or {}).get("nodeName")
        unplaced = not node and (row is not None or await self._has_containers(key.uid))
        if node != services.settings.node_name and not unplaced:
            return await self._clear(key, None, None)
        services.findings.orphans.pop(key.uid, None)
        if is_deleting:
            return await self._clear(key, read, _grace(read))
        services.fence.settle(key.uid)
        if unplaced:
            return UNPLACED_RETRY  # only another node in the object proves anything
        if not services.started and not services.engine_problem:
            return None  # the ledger is being compared with what runs; all are woken after that
        return await self._advance(Work.of(services, read, row))

    def _told(self, key: Key, row: Row | None) -> Object | None:
        """The object as it was told a moment ago, if all that can follow is a first launch."""
        read = self._services.recent.get(key.uid)
        if read is None or (row is not None and row.attempt_started is not None):
            return None
        status = read.get("status") or {}
        if status.get("nodeName") != self._services.settings.node_name:
            return None
        ending = read["metadata"].get("deletionTimestamp") or status.get("readyTime")
        return None if ending else read

    async def _read(self, key: Key) -> Object | None:
        """The object of that very uid, or None when it is certain that there is none."""
        services = self._services
        try:
            read = await services.cluster.get(INSTANCES, key.name, key.namespace)
        except NotFound as missing:
            if not missing.names(key.name):
                raise
            await services.home.confirm()
            return None
        if read["metadata"]["uid"] != key.uid:
            await services.home.confirm()
            return None
        services.recent.note(read)
        return read

    async def _has_containers(self, uid: str) -> bool:
        """Whether the engine has any of it, as far as it can be asked."""
        services = self._services
        return not services.engine_problem and bool(await teardown.existing(services, uid))

    async def _vanished(self, key: Key, row: Row | None) -> float | None:
        """Take away what the API server does not know, unless it is held: see `hold`."""
        services = self._services
        try:
            services.check_engine()
            left = await self._census.keep(key, row)
            if left is None:
                return await self._clear(key, None, None)
            services.fence.settle(key.uid)
            return min(left, await self._end_overdue(key, row))
        except EngineUnavailable:
            return self._engine_retry()

    async def _end_overdue(self, key: Key, row: Row | None) -> float:
        """End the containers of an instance whose time is over, while nobody can be asked.

        Row and ports stay: if it turns out to have been renewed, it is launched anew on them. The
        result is the time in seconds to the next look at it.
        """
        services = self._services
        now = milliseconds(services.clock.now())
        if row is None or row.expires is None:
            return math.inf
        if row.expires > now:
            return (row.expires - now) / 1000
        services.check_engine()
        result = await stop(services, key.uid, None)
        again = result.after if isinstance(result, Waiting) else None
        return math.inf if again is None else again

    async def _advance(self, work: Work) -> float | None:
        services = self._services
        work.status.start_time = work.status.start_time or work.begun
        result: Result = DONE
        try:
            services.check_engine()
            if work.uid in services.findings.unbooked or (work.row is None and _ran(work)):
                work.row = await regain(services, work.read, work.row)
            if work.row and work.row.attempt_started:
                work.containers = await teardown.existing(services, work.uid, work.names)
            work.status.expiration_time = self._deadline(work)
            result = await self._steps(work)
            services.attempts.looked(work.uid)
        except EngineUnavailable as error:
            result = Waiting(reasons.DOCKER_UNAVAILABLE, error.message, self._engine_retry())
        except RuntimeFault as error:
            result = services.attempts.fault(
                work.uid, reasons.LAUNCH_FAILED, error.message, after=ENGINE_RETRY
            )
        if (left := self._untold(work, result)) > 0:
            services.seen[work.uid] = work.read["metadata"]["resourceVersion"]
            return self._next_look(work, Waiting(reasons.WAITING_FOR_LAUNCH_SLOT, "", left))
        summarize(work, result)
        work.status.expiration_time = self._deadline(work)
        told = work.is_observed and work.instance.status.expiration_time is not None
        await work.publish()
        if work.status.expiration_time and not told and (text := cut(work.instance, work.status)):
            services.recorder.event(work.read, "Warning", reasons.TTL_CUT, text)
        await self._note_deadline(work)
        if isinstance(result, Done):
            await finalize(work)
        elif isinstance(result, Waiting):
            await not_begun(work)
        services.seen[work.uid] = work.read["metadata"]["resourceVersion"]
        if not isinstance(result, Waiting):
            services.recent.forget(work.uid)  # what follows may tear down
        return self._next_look(work, result)

    def _untold(self, work: Work, result: Result) -> float:
        """How long yet, in seconds, the status need not tell of an instance in the queue."""
        if not isinstance(result, Waiting) or result.reason != reasons.WAITING_FOR_LAUNCH_SLOT:
            return 0.0
        shown = conditions.get(work.instance.status.conditions, conditions.READY)
        told = shown is not None and shown.reason == result.reason and work.is_observed
        if not told or work.containers:
            return 0.0
        return QUEUE_PATIENCE - self._services.gate.waited(work.uid)

    def _engine_retry(self) -> float | None:
        """When to try again: the return of an engine known to be away wakes everybody."""
        return None if self._services.engine_problem else ENGINE_RETRY

    async def _steps(self, work: Work) -> Result:
        for step in STEPS:
            result = await step(work)
            if not isinstance(result, Done):
                return result
        return DONE

    def _deadline(self, work: Work) -> datetime | None:
        default = self._services.settings.prune_age
        return deadline(work.instance, work.status, work.now, default)

    async def _note_deadline(self, work: Work) -> None:
        """Have the deadline in the ledger too, for when the API server cannot be asked."""
        end = work.status.expiration_time
        expires = milliseconds(end) if end else None
        if work.row is not None and work.row.expires != expires:
            now = milliseconds(work.now)
            await self._services.book(Ledger.set_expiry, work.uid, expires=expires, now=now)

    def _next_look(self, work: Work, result: Result) -> float | None:
        waits = [] if isinstance(result, Done) or result.after is None else [result.after]
        end = work.status.expiration_time
        if end is not None and end > work.now:
            waits.append((end - self._services.clock.now()).total_seconds())
        return max(0.0, min(waits)) if waits else None

    async def _clear(self, key: Key, read: Object | None, grace: float | None) -> float | None:
        """Take away what there is of an instance that is not, or no longer, to run here."""
        services = self._services
        try:
            services.check_engine()
            result = await stop(services, key.uid, grace, teardown.names_of(key.uid, read))
        except EngineUnavailable:
            return self._engine_retry()
        if isinstance(result, Waiting):
            return result.after
        await release(services, key.uid)
        await tidy(services)  # before the object goes: who deletes the last one finds nothing left
        if read is not None:
            await forget(services.cluster, read)
        services.fence.settle(key.uid)
        collect.removed(services, key.uid)
        services.hold.gone(key.uid)
        self._forget(key.uid)
        return None


def _ran(work: Work) -> bool:
    """Whether it may have containers though the ledger does not have it."""
    return bool(work.instance.status.containers)


def _grace(read: Object) -> float:
    """The instance's grace period in seconds; from the plain object, however odd the rest is."""
    template = (read.get("status") or {}).get("template") or {}
    return float(template.get("terminationGracePeriodSeconds", GRACE_DEFAULT))
