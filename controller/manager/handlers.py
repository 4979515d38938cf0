"""Kopf's handlers of the manager: each event is handed on, nothing else."""

from collections.abc import Callable
from typing import Any

import kopf

from controller.cluster.client import Kind, Object

Observer = Callable[[Object, bool], None]
"""Takes an object as the watch has it, and whether it was deleted."""


def registry(observers: dict[Kind, Observer]) -> kopf.OperatorRegistry:
    """A handler for each kind."""
    handlers = kopf.OperatorRegistry()
    for kind, observe in observers.items():
        kopf.on.event(kind.group, kind.version, kind.plural, registry=handlers)(_handler(observe))
    return handlers


def _handler(observe: Observer) -> Any:
    async def handler(body: kopf.Body, type: str | None, **_: Any) -> None:
        observe(dict(body), type == "DELETED")

    return handler
