"""Kopf's handlers of the agent: each event is a wake-up, nothing else."""

import copy
from collections.abc import Callable
from typing import Any

import kopf

from controller.cluster.client import CHALLENGES, INSTANCES, NODES
from controller.reconcile.queue import Key


def registry(
    changed: Callable[[Key, dict[str, Any], bool], None],
    node_changed: Callable[[dict[str, Any]], None],
    challenge_changed: Callable[[dict[str, Any], bool], None],
) -> kopf.OperatorRegistry:
    """The handlers for instances of this node, for its own ChallengeNode, and for Challenges."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.event(INSTANCES.group, INSTANCES.version, INSTANCES.plural, registry=handlers)
    async def instance(body: kopf.Body, type: str | None, **_: Any) -> None:
        meta = body["metadata"]
        key = Key(uid=meta["uid"], namespace=meta["namespace"], name=meta["name"])
        changed(key, dict(body), type == "DELETED")

    @kopf.on.event(NODES.group, NODES.version, NODES.plural, registry=handlers)
    async def node(body: kopf.Body, type: str | None, **_: Any) -> None:
        node_changed({} if type == "DELETED" else dict(body))

    @kopf.on.event(CHALLENGES.group, CHALLENGES.version, CHALLENGES.plural, registry=handlers)
    async def challenge(body: kopf.Body, type: str | None, **_: Any) -> None:
        challenge_changed(copy.deepcopy(dict(body)), type == "DELETED")

    return handlers
