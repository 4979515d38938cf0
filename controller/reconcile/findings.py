"""What the last comparison has found amiss, for the reconciles that put it right.

Kept in memory, and replaced by each comparison. A finding is a hint: whoever acts on it looks
again first.
"""

from collections import Counter
from dataclasses import dataclass, field

from controller.reconcile.comparison import Orphan


@dataclass
class Findings:
    """Nothing is amiss at first."""

    orphans: dict[str, Orphan] = field(default_factory=dict)
    """What is here of uids that have no object here; taken away by their reconcile."""
    crashed: set[str] = field(default_factory=set)
    """Uids whose launch was cut off."""
    unbooked: set[str] = field(default_factory=set)
    """Uids whose containers run on ports that the ledger does not have for them."""
    tally: Counter[str] = field(default_factory=Counter)
    """What has been put right since the start of this process, by kind."""
    is_over: bool = False
    """Whether all that the start had to put right was dealt with."""
    told: str = ""
    """What that was, once it is over."""

    def forget(self, uid: str) -> None:
        """The instance is this node's, or nothing of it is left."""
        self.orphans.pop(uid, None)
        self.crashed.discard(uid)
        self.unbooked.discard(uid)

    def summary(self) -> str:
        """What the start has found and put right, in one line."""
        counts = (
            (self.tally["adopted"], "adopted"),
            (self.tally["orphan"], _plural(self.tally["orphan"], "orphan") + " torn down"),
            (self.tally["released"], "released"),
            (self.tally["reserved"], "reserved again"),
            (self.tally["launch"], _plural(self.tally["launch"], "crashed launch", "es")),
            (self.tally["network"], _plural(self.tally["network"], "network") + " removed"),
        )
        return ", ".join(f"{count} {what}" for count, what in counts)


def _plural(count: int, word: str, ending: str = "s") -> str:
    return word if count == 1 else word + ending
