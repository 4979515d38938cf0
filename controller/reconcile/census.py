"""The census: how many instances are missing, before the first of them is torn down for it.

After a restored backup single instances are looked at one by one, as a timer or an event wakes
them, long before anybody compares everything. So the first that the API server does not know has
all of them counted: ledger and engine against a LIST, and everyone that is not in it asked for by
name, since it may just have another node. It tears nothing down.
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from controller.api import reasons
from controller.cluster.client import INSTANCES, NODES
from controller.cluster.errors import ApiError, Forbidden, NotFound
from controller.cluster.events import EventType
from controller.ledger import Instance, Ledger
from controller.reconcile import hold, teardown
from controller.reconcile.queue import Key
from controller.reconcile.services import Services
from controller.runtime import containers, labels

logger = logging.getLogger(__name__)

PARALLEL: Final = 8
"""Instances asked for at a time."""
LOOK_AGAIN: Final = 1.0
"""Seconds after which one is looked at again that was missing, and is there by the census."""


class Census:
    """Decides what becomes of instances that the API server does not know."""

    def __init__(self, services: Services) -> None:
        """Nothing is counted before somebody is missing."""
        self._services = services
        self._counting = asyncio.Lock()

    async def keep(self, key: Key, row: Instance | None) -> float | None:
        """Seconds for which an instance that is missing is to be left alone; None: it is to go.

        Raises ApiError, RuntimeFault, LedgerError when it cannot be told: nothing is to be done
        then.
        """
        services, held = self._services, self._services.hold
        if held.is_deleting(key.uid):
            return None
        if not held.is_judged(key.uid):
            if row is None and not await teardown.existing(services, key.uid):
                return None  # it never came to anything here
            async with self._counting:
                if not held.is_judged(key.uid):  # the count of another may have settled it
                    await self._count()
            if not held.is_judged(key.uid):
                return LOOK_AGAIN
        if held.keeps(key.uid):
            return held.left(key.uid)
        await self._tell_of_end()
        return None

    async def exists(self, uid: str, *, deleting: bool) -> None:
        """The API server has it, and it is being deleted or not; raises LedgerError.

        One that was held is so no more after a restart either: if it vanishes again, among many,
        then it is held as long as they are.
        """
        if deleting:
            self._services.hold.deleting(uid)
        elif self._services.hold.present(uid):
            await self._note()

    async def _note(self) -> None:
        services = self._services
        await services.book(Ledger.set_meta, hold.META, services.hold.dump())

    async def _count(self) -> None:
        """Find out who is missing, and decide on all of them."""
        services = self._services
        known = await self._known()
        suspects = [key for uid, key in known.items() if not services.hold.is_deleting(uid)]
        listed = await self._listed()
        missing = await self._missing(key for key in suspects if key.uid not in listed)
        await services.home.confirm()
        anew = services.hold.judge(missing, known.keys())
        await self._note()
        if anew:
            await self._tell(
                "Warning",
                reasons.ORPHANS_HELD,
                f"{len(anew)} of {len(known)} instances have vanished from the API server, and "
                f"nobody was seen to delete them; they are left running for "
                f"{services.settings.orphan_hold:.0f} s. If that is right: kubectl challenge "
                f"confirm-orphans {services.settings.node_name}",
            )

    async def _known(self) -> dict[str, Key]:
        """All instances that the ledger has or the engine has containers of."""
        services = self._services
        found = {
            state.uid: Key(
                state.uid,
                state.labels.get(labels.INSTANCE_NAMESPACE, ""),
                state.labels.get(labels.INSTANCE_NAME, ""),
            )
            for state in await containers.list_containers(
                services.engine,
                installation=services.settings.installation,
                node=services.settings.node_name,
            )
        }
        rows = await services.book(Ledger.instances)
        return found | {row.uid: Key(row.uid, row.namespace, row.name) for row in rows}

    async def _listed(self) -> set[str]:
        """The uids of all instances that are this node's by the API server."""
        settings = self._services.settings
        selector = f"status.nodeName={settings.node_name}"
        return {
            read["metadata"]["uid"]
            for namespace in settings.namespaces or ("",)
            async for read in self._services.cluster.list(
                INSTANCES, namespace, field_selector=selector
            )
        }

    async def _missing(self, suspects: Iterable[Key]) -> list[Key]:
        """Those of them that certainly do not exist under that name and uid."""
        waiting = list(suspects)
        missing: list[Key] = []
        for start in range(0, len(waiting), PARALLEL):
            batch = waiting[start : start + PARALLEL]
            there = await asyncio.gather(*map(self._exists, batch))
            missing += [key for key, exists in zip(batch, there, strict=True) if not exists]
        return missing

    async def _exists(self, key: Key) -> bool:
        try:
            read = await self._services.cluster.get(INSTANCES, key.name, key.namespace)
        except NotFound as missing:
            if not missing.names(key.name):
                raise
            return False
        except Forbidden:
            return True  # in a namespace that is not served any more: it proves nothing
        return bool(read["metadata"]["uid"] == key.uid)

    async def _tell_of_end(self) -> None:
        """Say once of each who was held that it goes after all."""
        if over := self._services.hold.ended():
            confirmed = sum(orphan.confirmed for orphan in over)
            why = "its operator has confirmed it" if confirmed == len(over) else "their time is up"
            text = f"Tearing down {len(over)} instances that have vanished from the API server"
            await self._tell("Warning", reasons.ORPHANS_REMOVED, f"{text}: {why}")

    async def _tell(self, kind: EventType, reason: str, text: str) -> None:
        logger.warning("%s", text)
        with suppress(ApiError):
            node = await self._services.cluster.get(NODES, self._services.settings.node_name)
            self._services.recorder.event(node, kind, reason, text)
