"""Instances that wait for a node, in turn: round robin over users, first come first served in each.

So one who asks for 200 does not starve the others. Holds the objects as the watch had them last.
"""

from collections import OrderedDict
from collections.abc import Iterator

from controller.cluster.client import Object


class Pending:
    """The queue; an instance is in it at most once."""

    def __init__(self) -> None:
        """Nobody waits at first."""
        self._users: OrderedDict[str, OrderedDict[str, Object]] = OrderedDict()
        self._user_of: dict[str, str] = {}

    def __len__(self) -> int:
        """Instances that wait."""
        return len(self._user_of)

    def __contains__(self, uid: object) -> bool:
        """Whether that instance waits."""
        return uid in self._user_of

    def uids(self) -> set[str]:
        """Who waits."""
        return set(self._user_of)

    def put(self, body: Object) -> None:
        """Add an instance at the end of its user's line; one that waits keeps its place."""
        uid = body["metadata"]["uid"]
        user = str(body["spec"].get("user") or "")
        self._user_of[uid] = user
        self._users.setdefault(user, OrderedDict())[uid] = body

    def renew(self, before: Object, after: Object) -> None:
        """Put ``after`` in the place of ``before``, unless that is gone or was put anew."""
        uid = before["metadata"]["uid"]
        line = self._users.get(self._user_of.get(uid, ""))
        if line is not None and line.get(uid) is before:
            line[uid] = after

    def drop(self, uid: str) -> bool:
        """Take an instance out; returns whether it was there."""
        user = self._user_of.pop(uid, None)
        if user is None:
            return False
        line = self._users[user]
        del line[uid]
        if not line:
            del self._users[user]
        return True

    def in_turn(self) -> Iterator[Object]:
        """All instances, one of each user after the other; the queue may change meanwhile."""
        lines = [list(line.values()) for line in self._users.values()]
        for rank in range(max(map(len, lines), default=0)):
            yield from (line[rank] for line in lines if rank < len(line))

    def served(self, uid: str) -> None:
        """Take out an instance that got its node, and let its user queue behind the others."""
        user = self._user_of.get(uid, "")
        if self.drop(uid) and user in self._users:
            self._users.move_to_end(user)
