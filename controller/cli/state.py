"""What an object's status says, in the few words that a table has room for. Pure functions."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from pydantic import ValidationError

from controller.api import conditions, reasons
from controller.api.conditions import Condition
from controller.api.instance import ChallengeInstance
from controller.api.meta import Resource
from controller.api.node import ChallengeNode
from controller.cli.errors import CommandError
from controller.cli.words import NONE, span

R = TypeVar("R", bound=Resource)

GOOD: Final = "green"
BAD: Final = "red"
RESTING: Final = "yellow"

WELL_WHEN_TRUE: Final = (
    conditions.READY,
    conditions.DOCKER_REACHABLE,
    conditions.FIREWALL_READY,
    conditions.LEDGER_HEALTHY,
    conditions.RECONCILED,
)
"""A node's conditions that are True when all is well; any other tells of trouble."""


def parse(model: type[R], body: object) -> R:
    """Read an object; raises CommandError when another version of the API has written it."""
    try:
        return model.parse(body)
    except ValidationError as error:
        first = error.errors()[0]
        name = body.get("metadata", {}).get("name") if isinstance(body, dict) else None
        raise CommandError(
            f"{model.KIND} {name}: {'.'.join(map(str, first['loc']))}: {first['msg']}. This plugin "
            "does not know such an object: use the one of the controller's version"
        ) from error


@dataclass(frozen=True)
class Readiness:
    """The Ready condition, or what takes its place."""

    status: str
    reason: str
    style: str


def readiness(instance: ChallengeInstance) -> Readiness:
    """Whether players can use it, and why not."""
    if instance.is_deleting:
        return Readiness("False", reasons.DELETING, RESTING)
    said = instance.status.conditions
    for rest in (conditions.EXPIRED, conditions.SUSPENDED):
        if conditions.is_true(said, rest):
            return Readiness(NONE, rest, RESTING)
    ready = conditions.get(said, conditions.READY)
    if ready is None:
        return Readiness(NONE, NONE, RESTING)
    if ready.status == "True":
        return Readiness("True", ready.reason, GOOD)
    return Readiness(ready.status, ready.reason, RESTING if _on_its_way(ready) else BAD)


def _on_its_way(ready: Condition) -> bool:
    return ready.status == "False" and ready.reason in reasons.PROGRESS


def is_awaited(instance: ChallengeInstance) -> bool:
    """Whether it is not ready though it should be: not suspended, expired or being deleted."""
    found = readiness(instance)
    return found.status != "True" and found.reason not in (
        conditions.EXPIRED,
        conditions.SUSPENDED,
        reasons.DELETING,
    )


def is_expired(instance: ChallengeInstance) -> bool:
    """Whether only its object is left: it has no container and no port."""
    return conditions.is_true(instance.status.conditions, conditions.EXPIRED)


def time_left(instance: ChallengeInstance, now: datetime) -> str:
    """How long it still lives: `never` ends, or not known as long as it is not up."""
    end = instance.status.expiration_time
    if end is not None:
        return span(end - now) if end > now else "over"
    is_up = instance.status.ready_time is not None
    return "never" if is_up or instance.is_pool_managed else NONE


def node_state(node: ChallengeNode) -> tuple[str, str]:
    """A node's state in one word, with what its operator has laid down, and its style."""
    ready = conditions.get(node.status.conditions, conditions.READY)
    if ready is None:
        word, style = "Registering", RESTING
    elif ready.status == "True":
        word, style = "Ready", GOOD
    else:
        word, style = ("Unknown" if ready.status == "Unknown" else "NotReady"), BAD
    if node.spec.drain:
        return f"{word},Draining" + ("(all)" if node.spec.drain == "All" else ""), style
    if node.spec.unschedulable:
        return f"{word},Cordoned", RESTING if style == GOOD else style
    return word, style


def troubles(node: ChallengeNode, now: datetime) -> list[str]:
    """What is wrong with a node, a line for each condition that says so."""
    return [
        f"{node.metadata.name}: {found.type} is {found.status} for "
        f"{span(now - found.last_transition_time)}, {found.reason}"
        + (f": {found.message}" if found.message else "")
        for found in node.status.conditions
        if _is_trouble(found)
    ]


def _is_trouble(found: Condition) -> bool:
    if found.type in WELL_WHEN_TRUE:
        # Who has turned the firewall off knows.
        return found.status != "True" and found.reason != reasons.FIREWALL_OFF
    return found.status != "False"
