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

    def put(self, body: Object, *, first: bool = False) -> None:
        """Add an instance at the end of its user's line; one that waits keeps its place.

        ``first``: at the head of it, for one that was up and lost its node.
        """
        uid = body["metadata"]["uid"]
        user = str(body["spec"].get("user") or "")
        line = self._users.setdefault(user, OrderedDict())
        line[uid] = body
        if first and uid not in self._user_of:
            line.move_to_end(uid, last=False)
        self._user_of[uid] = user

    def get(self, uid: str) -> Object | None:
        """The object of one that waits."""
        line = self._users.get(self._user_of.get(uid, ""))
        return line.get(uid) if line else None

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
        """All instances, one of each user after the other; the queue may change meanwhile.

        Who comes meanwhile is given too: a user with none before within one turn of all users,
        another one of a user who had some in the next call.
        """
        lines: dict[str, Iterator[str]] = {}
        more = True
        while more:
            more = False
            for user in list(self._users):
                if user not in lines:
                    lines[user] = iter(list(self._users.get(user, ())))
                body = self._next(user, lines[user])
                if body is not None:
                    more = True
                    yield body

    def _next(self, user: str, line: Iterator[str]) -> Object | None:
        for uid in line:
            if self._user_of.get(uid) == user:
                return self._users[user][uid]
        return None

    def served(self, uid: str) -> None:
        """Take out an instance that got its node, and let its user queue behind the others."""
        user = self._user_of.get(uid, "")
        if self.drop(uid) and user in self._users:
            self._users.move_to_end(user)
