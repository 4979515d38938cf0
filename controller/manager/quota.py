"""How many instances one user may have, over all namespaces: decided at placement, nowhere else.

An instance counts from the moment that its node is chosen until its object is gone: one that is
being deleted still has its containers, and one retained after its time can be brought back without
asking here. One that moves to another node goes on counting while it has none, so that nobody
takes its place. A limit that is lowered takes nothing away from those who have more.
"""

from collections import Counter

from controller.api import reasons
from controller.api.instance import ChallengeInstance
from controller.manager.placement import Refusal


def was_placed(instance: ChallengeInstance) -> bool:
    """Whether it has, or had, a node: its template stays in the status when it moves."""
    return instance.status.node_name is not None or instance.status.template is not None


class Quota:
    """The instances of each user that count."""

    def __init__(self, limit: int = 0) -> None:
        """``limit`` is the most that one user may have; 0 for no limit."""
        self.limit = limit
        self._user_of: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    def count(self, user: str) -> int:
        """How many instances of a user count."""
        return self._counts[user]

    def take(self, uid: str, user: str) -> None:
        """Count an instance; one without a user never counts."""
        if not user or uid in self._user_of:
            return
        self._user_of[uid] = user
        self._counts[user] += 1

    def release(self, uid: str) -> bool:
        """Count an instance no more; returns whether that may help another one."""
        user = self._user_of.pop(uid, None)
        if user is None:
            return False
        self._counts[user] -= 1
        if not self._counts[user]:
            del self._counts[user]
        return bool(self.limit)

    def refusal(self, user: str, uid: str) -> Refusal | None:
        """Why this user does not get that instance placed now; None when they do.

        One that counts already, since it moves or nobody knows whether it is placed, may be.
        """
        if not user or not self.limit or uid in self._user_of or self._counts[user] < self.limit:
            return None
        return Refusal(
            reasons.QUOTA_EXCEEDED,
            f"User {user!r} has {self._counts[user]} instances of {self.limit} that each user may "
            "have (CHALLENGE_MAX_INSTANCES_PER_USER); it goes on when one of them is gone",
        )
