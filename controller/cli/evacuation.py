"""Where a drain is: what is still to move from a node, what stays, and whether that is all.

Pure functions of the instances that name the node. They follow what the manager does by
`ChallengeNode.spec.drain`, and decide nothing of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from controller.api.instance import ChallengeInstance
from controller.cli.state import is_expired

Mode = Literal["Managed", "All"]

QUIET: Final = 2
"""Looks in a row that must find nothing to move: one may be placed while the node is cordoned."""


@dataclass(frozen=True)
class Remaining:
    """The instances on a node that is being drained."""

    to_move: tuple[ChallengeInstance, ...] = ()
    """Those that the manager moves or replaces, or that are being deleted."""
    staying: tuple[ChallengeInstance, ...] = ()
    """Players' instances that live out their time."""
    at_rest: tuple[ChallengeInstance, ...] = ()
    """Expired ones that are kept: objects without a container."""


def remaining(instances: Iterable[ChallengeInstance], mode: Mode) -> Remaining:
    """Sort a node's instances by what a drain of that mode does with them."""
    to_move, staying, at_rest = [], [], []
    for instance in instances:
        if instance.is_deleting:
            to_move.append(instance)
        elif is_expired(instance):
            at_rest.append(instance)
        elif mode == "All" or instance.is_pool_managed:
            to_move.append(instance)
        else:
            staying.append(instance)
    return Remaining(tuple(to_move), tuple(staying), tuple(at_rest))


@dataclass
class Progress:
    """What has happened from look to look."""

    seen: dict[str, str] = field(default_factory=dict)
    """What was ever to move: uid and `namespace/name`."""
    left: set[str] = field(default_factory=set)
    quiet: int = 0

    def look(self, found: Remaining) -> list[str]:
        """Take what is there now; returns the names of those that have gone since the last look."""
        now = {instance.metadata.uid: instance.key for instance in found.to_move}
        gone = sorted(self.seen[uid] for uid in self.left - now.keys())
        self.seen |= now
        self.left = set(now)
        self.quiet = 0 if now or gone else self.quiet + 1
        return gone

    @property
    def total(self) -> int:
        """How many were ever to move."""
        return len(self.seen)

    @property
    def moved(self) -> int:
        """How many of them have gone."""
        return self.total - len(self.left)

    @property
    def is_over(self) -> bool:
        """Whether nothing that is to move is left."""
        return self.quiet >= QUIET
