"""States that an object can be in, and what GitOps tools are to make of each.

Objects come from the product's own models, definitions and functions, as far as there are any.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from controller.api import conditions
from controller.api.conditions import Condition
from controller.api.crd import KINDS, definition
from controller.api.meta import API_VERSION, Model, Resource

Object = dict[str, Any]

NOW: Final = datetime(2026, 1, 31, 12, tzinfo=UTC)


@dataclass(frozen=True)
class State:
    """One state of an object, and what kstatus and Argo CD are to say of it."""

    name: str
    object: Object
    kstatus: str
    argo: str


def fresh(kind: type[Resource], spec: Mapping[str, Any]) -> Object:
    """An object as the API server has just created it, with the status that the CRD gives it."""
    described = next(definition(known) for known in KINDS if known.model is kind)
    schema = described["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return {
        "apiVersion": API_VERSION,
        "kind": kind.KIND,
        "metadata": {
            "name": "one",
            "uid": "u-1",
            "generation": 1,
            "resourceVersion": "1",
            **({"namespace": "team"} if kind.NAMESPACED else {}),
        },
        "spec": dict(spec),
        "status": dict(schema["properties"]["status"]["default"]),
    }


def with_status(body: Object, status: Model) -> Object:
    """The object with a status as the controller would write it."""
    return {**body, "status": status.manifest()}


def changed(body: Object) -> Object:
    """The object after a change of its spec that the controller has not seen yet."""
    meta = body["metadata"]
    return {**body, "metadata": {**meta, "generation": meta["generation"] + 1}}


def deleting(body: Object) -> Object:
    """The object after somebody has asked for its deletion."""
    stamp = NOW.isoformat().replace("+00:00", "Z")
    return {**body, "metadata": {**body["metadata"], "deletionTimestamp": stamp}}


def say(into: list[Condition], kind: str, value: conditions.Status, reason: str) -> None:
    """Set a condition of generation 1."""
    conditions.set_condition(into, kind, value, reason, "why", now=NOW, observed_generation=1)


def everywhere(states: list[State]) -> list[State]:
    """The states, and what becomes of each by a change that is not seen yet, and by a deletion."""
    return [
        *states,
        *(
            State(f"{s.name}, changed", changed(s.object), "InProgress", "Progressing")
            for s in states
        ),
        *(
            State(f"{s.name}, deleting", deleting(s.object), "Terminating", "Progressing")
            for s in states
        ),
    ]
