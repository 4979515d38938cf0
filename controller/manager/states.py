"""In which state the instances are that the manager knows, counted; by no other mark than that."""

from collections import Counter
from typing import Final

from controller.api import conditions
from controller.api.instance import ChallengeInstance

STATES: Final = (
    "pending",
    "launching",
    "ready",
    "failed",
    "lost",
    "suspended",
    "expired",
    "deleting",
)


class States:
    """The state of each instance, by uid."""

    def __init__(self) -> None:
        """No instance is known."""
        self._of: dict[str, str] = {}
        self._counted: Counter[str] = Counter()

    def observe(self, instance: ChallengeInstance) -> None:
        """Take an instance as it is now."""
        uid = instance.metadata.uid
        self.forget(uid)
        self._of[uid] = state = state_of(instance)
        self._counted[state] += 1

    def forget(self, uid: str) -> None:
        """The instance is gone."""
        if before := self._of.pop(uid, None):
            self._counted[before] -= 1

    def count(self, state: str) -> int:
        """How many are in that state, one of `STATES`."""
        return self._counted[state]


def state_of(instance: ChallengeInstance) -> str:
    """The state of an instance, one of `STATES`."""
    said = instance.status.conditions
    if instance.is_deleting:
        return "deleting"
    for rest in (conditions.EXPIRED, conditions.SUSPENDED):
        if conditions.is_true(said, rest):
            return rest.lower()
    if instance.status.node_name is None:
        return "pending"
    ready = conditions.get(said, conditions.READY)
    if ready is not None and ready.status != "False":
        return "ready" if ready.status == "True" else "lost"
    return "failed" if conditions.is_true(said, conditions.STALLED) else "launching"
