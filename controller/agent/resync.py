"""The resync: API server, ledger and engine compared in full, and who differs is woken.

Makes good what a watch loses, and what happened while nobody watched; it is the garbage collection
as well, which is the same comparison. Whatever is amiss with an instance is put right by the
instance's own reconcile.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from controller.cluster.client import Object
from controller.cluster.errors import ApiError
from controller.ledger import LedgerError, cmgr
from controller.reconcile import collect, comparison, lost, release, startup
from controller.reconcile.clock import milliseconds
from controller.reconcile.comparison import Plan, Seen
from controller.reconcile.queue import Key, WorkQueue
from controller.reconcile.services import Services
from controller.runtime.containers import ContainerState
from controller.runtime.errors import RuntimeFault

logger = logging.getLogger(__name__)


async def resync(services: Services, queue: WorkQueue) -> None:
    """Compare once; raises ApiError, RuntimeFault, LedgerError."""
    services.check_engine()
    await services.home.confirm()
    before = dict(services.seen)
    seen = await collect.look(services)
    _look_back(services, seen.objects, before)
    plan = comparison.compare(
        seen,
        begun_before=_begun_before(services),
        busy=lambda uid: queue.busy(uid) or collect.is_busy(services, uid),
    )
    _note(services, plan, queue.busy)
    for key in _differing(services, seen, plan):
        queue.wake(key)
    if lifted := await asyncio.to_thread(cmgr.lift_bindable, services.ledger):
        logger.info("Took %d ports into use that cmgr has given up", len(lifted))
    services.fence.expect(plan.orphans)
    for orphan in plan.orphans.values():
        queue.wake(orphan.key)
    await collect.leftovers(services, seen)
    if info := services.engine_info:
        listed = {state.id for states in seen.containers.values() for state in states}
        await lost.end(services, info, listed=listed)
    if not seen.rows and not seen.containers:
        await release.tidy(services)  # the removal of the last instance may have failed to
    logger.debug(
        "Resync: %d instances, %d without an object here", len(seen.objects), len(plan.orphans)
    )


async def once(services: Services, queue: WorkQueue) -> bool:
    """Compare; one that fails is logged, and made up for by the next. Whether it was done.

    The first one of a process puts the ledger right before. Raises NothingMatches.
    """
    if services.engine_problem:
        return False  # the engine's return is followed by a comparison
    try:
        if not services.started:
            await startup.reconcile(services)
            for key in queue.known():
                queue.wake(key)
        await resync(services, queue)
    except (ApiError, LedgerError, RuntimeFault) as error:
        logger.warning("The resync failed: %s", error)
        return False
    return True


def _begun_before(services: Services) -> int:
    """A launch that began before that time has had all the time that it may take."""
    return milliseconds(services.clock.now()) - round(services.settings.launch_grace * 1000)


def _look_back(services: Services, objects: Mapping[str, Object], before: dict[str, str]) -> None:
    """Forget what was seen if the API server's store has gone back: versions are given anew."""
    history = services.cluster.history
    for uid, read in objects.items():
        history.compare(read, int(before.get(uid, 0)))
    if history.turns != services.turns:
        services.turns = history.turns
        services.seen.clear()


def _note(services: Services, plan: Plan, busy: Callable[[str], bool]) -> None:
    """Keep what was found; of orphans whose removal is under way also what is gone by now."""
    findings = services.findings
    before = {uid: orphan for uid, orphan in findings.orphans.items() if busy(uid)}
    findings.orphans = before | {
        uid: replace(orphan, kinds=before[uid].kinds | orphan.kinds) if uid in before else orphan
        for uid, orphan in plan.orphans.items()
    }
    findings.crashed.update(plan.crashed)
    findings.unbooked = set(plan.unbooked)


def _differing(services: Services, seen: Seen, plan: Plan) -> list[Key]:
    """The instances here that are not as they were left."""
    amiss = plan.crashed.keys() | plan.unbooked.keys()
    return [
        comparison.key_of(read)
        for uid, read in seen.objects.items()
        if uid in amiss or _differs(services, read, seen)
    ]


def _differs(services: Services, read: Object, seen: Seen) -> bool:
    uid = read["metadata"]["uid"]
    if services.seen.get(uid) != read["metadata"]["resourceVersion"] or services.hold.keeps(uid):
        return True
    row = seen.rows.get(uid)
    wanted = "paused" if read["spec"].get("suspended") else "running"
    found: list[ContainerState] = list(seen.containers.get(uid, ()))
    up = [state for state in found if state.state == wanted and not state.is_cut_off]
    started = row is not None and row.attempt_started is not None
    return started and len(up) != len(comparison.wanted_containers(read))
