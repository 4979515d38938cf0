"""The resync: API server, ledger and engine compared in full, and who differs is woken.

Makes good what a watch loses, and what happened while nobody watched. It changes nothing itself:
whatever is amiss is put right by the instance's own reconcile.
"""

import asyncio
import logging
from collections.abc import AsyncIterator

from controller.cluster.client import INSTANCES, Object
from controller.cluster.errors import ApiError
from controller.ledger import Instance, Ledger, LedgerError, cmgr
from controller.reconcile import mounts
from controller.reconcile.queue import Key, WorkQueue
from controller.reconcile.release import collect
from controller.reconcile.services import Services
from controller.runtime import containers, labels
from controller.runtime.containers import ContainerState
from controller.runtime.errors import RuntimeFault

logger = logging.getLogger(__name__)


async def resync(services: Services, queue: WorkQueue) -> None:
    """Compare once; raises ApiError, RuntimeFault, LedgerError."""
    services.check_engine()
    await services.home.confirm()
    settings, before = services.settings, dict(services.seen)
    objects = {o["metadata"]["uid"]: o async for o in _objects(services)}
    rows = {row.uid: row for row in await services.book(Ledger.instances)}
    found = await containers.list_containers(
        services.engine, installation=settings.installation, node=settings.node_name
    )
    running: dict[str, list[ContainerState]] = {}
    for state in found:
        running.setdefault(state.uid, []).append(state)
    _look_back(services, objects, before)
    for uid, read in objects.items():
        started = uid in rows and rows[uid].attempt_started is not None
        if _differs(services, uid, read, running.get(uid, []), started=started):
            queue.wake(_key(read))
    if lifted := await asyncio.to_thread(cmgr.lift_bindable, services.ledger):
        logger.info("Took %d ports into use that cmgr has given up", len(lifted))
    await collect(services)
    left = await mounts.left(services, rows.keys() | objects.keys())
    gone = (rows.keys() | running.keys() | left.keys()) - objects.keys()
    services.fence.expect(gone)
    for uid in gone:
        queue.wake(left.get(uid) or _orphan(uid, running.get(uid, []), rows.get(uid)))
    logger.debug("Resync: %d instances, %d without an object here", len(objects), len(gone))


async def once(services: Services, queue: WorkQueue) -> bool:
    """Compare; one that fails is logged, and made up for by the next. Whether it was done."""
    if services.engine_problem:
        return False  # the engine's return is followed by a comparison
    try:
        await resync(services, queue)
    except (ApiError, LedgerError, RuntimeFault) as error:
        logger.warning("The resync failed: %s", error)
        return False
    return True


async def _objects(services: Services) -> AsyncIterator[Object]:
    selector = f"status.nodeName={services.settings.node_name}"
    for namespace in services.settings.namespaces or ("",):
        async for read in services.cluster.list(INSTANCES, namespace, field_selector=selector):
            yield read


def _look_back(services: Services, objects: dict[str, Object], before: dict[str, str]) -> None:
    """Forget what was seen if the API server's store has gone back: versions are given anew."""
    history = services.cluster.history
    for uid, read in objects.items():
        history.compare(read, int(before.get(uid, 0)))
    if history.turns != services.turns:
        services.turns = history.turns
        services.seen.clear()


def _differs(
    services: Services, uid: str, read: Object, found: list[ContainerState], *, started: bool
) -> bool:
    if services.seen.get(uid) != read["metadata"]["resourceVersion"] or services.hold.keeps(uid):
        return True
    wanted = ((read.get("status") or {}).get("template") or {}).get("containers") or []
    up = [state for state in found if state.state in ("running", "paused")]
    return started and len(up) != len(wanted)


def _key(read: Object) -> Key:
    meta = read["metadata"]
    return Key(uid=meta["uid"], namespace=meta["namespace"], name=meta["name"])


def _orphan(uid: str, found: list[ContainerState], row: Instance | None) -> Key:
    if row is not None:
        return Key(uid=uid, namespace=row.namespace, name=row.name)
    marks = found[0].labels
    return Key(
        uid=uid,
        namespace=marks.get(labels.INSTANCE_NAMESPACE, ""),
        name=marks.get(labels.INSTANCE_NAME, ""),
    )
