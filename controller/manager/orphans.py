"""Instances of a node that is gone for good: nobody else would ever let go of them.

**Gone for good** is a node whose ChallengeNode was deleted, by `kubectl challenge forget-node` or
by hand, and whose Lease is silent or deleted: an agent that lives registers anew. Of its instances
those being deleted lose the agent's finalizer, since nobody else would ever take it off, and all
others move, whatever their policy.

One that was moved and is deleted before it is placed again loses the finalizer as well: it has no
node, but the mark of the agent that it came from. Nothing is written over what has changed since it
was read, nor once the node's Lease was renewed.
"""

import asyncio
import logging
from typing import Final

from pydantic import ValidationError

from controller.cluster import finalizer
from controller.cluster.client import INSTANCES, NODES, Cluster, Object
from controller.cluster.errors import ApiError, ApiUnavailable, Conflict, NotFound
from controller.cluster.events import Recorder
from controller.manager.move import move
from controller.manager.nodes import Nodes
from controller.settings import Settings

logger = logging.getLogger(__name__)

PACE: Final = 0.05
"""Seconds between two writes: a node with many instances is no reason to busy everybody."""


class Orphans:
    """Takes instances off nodes that there are none of."""

    def __init__(
        self, cluster: Cluster, recorder: Recorder, nodes: Nodes, settings: Settings
    ) -> None:
        """``nodes`` has the Leases."""
        self._cluster = cluster
        self._recorder = recorder
        self._beats = nodes.heartbeats
        self._settings = settings
        self._leaving: dict[str, Object] = {}

    def observe(self, body: Object) -> None:
        """Take note of an instance that is being deleted and has no node."""
        if finalizer.held(body):
            self._leaving[body["metadata"]["uid"]] = body

    async def let_go(self) -> None:
        """Release those that have no node; raises ApiUnavailable.

        One that is refused is tried again in the next round, and holds up nobody meanwhile.
        """
        for uid, body in list(self._leaving.items()):
            try:
                await self._release(body)  # after a conflict the watch brings it again
            except ApiUnavailable:
                raise
            except ApiError as error:
                logger.warning("Cannot release %s, which has no node: %s", key(body), error)
                continue
            if self._leaving.get(uid) is body:
                del self._leaving[uid]

    async def take_off(self, name: str) -> bool:
        """Let go of all instances of a silent node, if there is no such node; raises ApiError.

        Whether all of it is done.
        """
        try:
            await self._cluster.get(NODES, name)
            return False  # the watch brings it
        except NotFound as missing:
            if not missing.names(name):
                raise
        done = True
        for body in await instances_on(self._cluster, self._settings, name):
            if await self._beats.heard(self._cluster, self._settings.controller_namespace, name):
                return False
            done = await self._one(name, body) and done
        return done

    async def _one(self, name: str, body: Object) -> bool:
        try:
            if body["metadata"].get("deletionTimestamp"):
                return await self._release(body)
            why = f"Node {name} is gone: there is no ChallengeNode of that name any more"
            moved = await move(self._cluster, self._recorder, body, why)
        except ApiUnavailable:
            raise
        except (ApiError, ValidationError) as error:
            logger.warning("Cannot take %s off a node that is gone: %s", key(body), error)
            return False
        if moved:
            logger.warning("Moving %s: %s", key(body), why)
        await asyncio.sleep(PACE)
        return moved

    async def _release(self, body: Object) -> bool:
        """Take the agent's finalizer off an instance that is being deleted."""
        if not finalizer.held(body):
            return True
        try:
            await finalizer.remove(self._cluster, body)
        except NotFound:
            return True
        except Conflict:
            return False
        logger.warning(
            "Released %s, which nobody else would: it has no node, or one that is gone", key(body)
        )
        await asyncio.sleep(PACE)
        return True


async def instances_on(cluster: Cluster, settings: Settings, name: str) -> list[Object]:
    """All instances whose status names the node; raises ApiError."""
    selector = f"status.nodeName={name}"
    return [
        body
        for namespace in settings.namespaces or ("",)
        async for body in cluster.list(INSTANCES, namespace, field_selector=selector)
        if (body.get("status") or {}).get("nodeName") == name
    ]


def key(body: Object) -> str:
    """``namespace/name`` of an instance, for logs."""
    return f"{body['metadata'].get('namespace', '')}/{body['metadata']['name']}"
