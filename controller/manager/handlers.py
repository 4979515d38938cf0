"""Kopf's handlers of the manager: each event is handed on, nothing else."""

from collections.abc import Callable
from typing import Any

import kopf

from controller.cluster.client import CHALLENGES, INSTANCES, NODES, Object

Observer = Callable[[Object, bool], None]
"""Takes an object as the watch has it, and whether it was deleted."""


def registry(instances: Observer, challenges: Observer, nodes: Observer) -> kopf.OperatorRegistry:
    """The handlers for the three kinds that placement depends on."""
    handlers = kopf.OperatorRegistry()
    for kind, observe in ((INSTANCES, instances), (CHALLENGES, challenges), (NODES, nodes)):
        kopf.on.event(kind.group, kind.version, kind.plural, registry=handlers)(_handler(observe))
    return handlers


def _handler(observe: Observer) -> Any:
    async def handler(body: kopf.Body, type: str | None, **_: Any) -> None:
        observe(dict(body), type == "DELETED")

    return handler
