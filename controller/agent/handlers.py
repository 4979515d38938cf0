"""Kopf's handlers of the agent: each event is a wake-up, nothing else."""

from collections.abc import Callable
from typing import Any

import kopf

from controller.cluster.client import INSTANCES, NODES
from controller.reconcile.queue import Key


def registry(
    changed: Callable[[Key, str], None], node_changed: Callable[[dict[str, Any]], None]
) -> kopf.OperatorRegistry:
    """The handlers for instances of this node, and for its own ChallengeNode."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.event(INSTANCES.group, INSTANCES.version, INSTANCES.plural, registry=handlers)
    async def instance(body: kopf.Body, **_: Any) -> None:
        meta = body["metadata"]
        key = Key(uid=meta["uid"], namespace=meta["namespace"], name=meta["name"])
        changed(key, meta["resourceVersion"])

    @kopf.on.event(NODES.group, NODES.version, NODES.plural, registry=handlers)
    async def node(body: kopf.Body, type: str | None, **_: Any) -> None:
        node_changed({} if type == "DELETED" else dict(body))

    return handlers
