"""Placements that are written, or being written, and that the watch has not brought yet.

The watch tells what was, sometimes after we have written what is. An event from before our own
write must not make an instance count as one without a node: its ports and its user's quota would be
given to another one. Nor must a write whose outcome nobody knows.
"""


class InHand:
    """By uid: the resourceVersion that our write was computed from, or that it made."""

    def __init__(self) -> None:
        """Nothing is in hand."""
        self._writing: dict[str, int] = {}
        self._doubtful: dict[str, int] = {}
        self._written: dict[str, int] = {}

    def begin(self, uid: str, version: int) -> None:
        """A write over this version is on its way."""
        self._writing[uid] = version

    def landed(self, uid: str, version: int) -> None:
        """The API server has it, as this version."""
        self.settled(uid)
        self._written[uid] = version

    def refused(self, uid: str) -> bool:
        """The API server has not taken it; returns whether it cannot have taken an earlier one."""
        self._writing.pop(uid, None)
        return uid not in self._doubtful

    def unanswered(self, uid: str) -> None:
        """Nobody knows whether the API server has it; it may even come to it later."""
        version = self._writing.pop(uid, None)
        if version is not None:
            self._doubtful[uid] = version

    def is_ahead(self, uid: str, version: int) -> bool:
        """Whether what we have written, or may have, is newer than that version of the object."""
        if version <= self._writing.get(uid, -1) or version < self._written.get(uid, 0):
            return True
        if version > self._doubtful.get(uid, version):
            del self._doubtful[uid]  # a write over an older one can no longer be carried out
        return uid in self._doubtful

    def clear(self) -> None:
        """Nothing of it is as it was: the API server's store has gone back."""
        self._writing.clear()
        self._doubtful.clear()
        self._written.clear()

    def settled(self, uid: str) -> None:
        """The watch has brought it, or the instance is gone."""
        self._writing.pop(uid, None)
        self._doubtful.pop(uid, None)
        self._written.pop(uid, None)
