"""Which version of each instance this manager has seen: what is not newer is no news.

The watch and the manager's own lists tell the same things, and not in step: a page of a list may be
older than what the watch has brought since. Reading it would take back what has been counted.
"""

from controller.cluster.client import Object
from controller.cluster.version import version_of


class Seen:
    """The newest version of each instance, by uid."""

    def __init__(self) -> None:
        """Nothing has been seen."""
        self._newest: dict[str, int] = {}

    def is_news(self, body: Object) -> bool:
        """Take note of an object as read; false when it tells nothing new.

        One that is being deleted is news each time: what must be done about it, by whomever, is
        tried until it is gone.
        """
        meta, version = body["metadata"], version_of(body)
        newest = self._newest.get(meta["uid"], 0)
        if version < newest or (version == newest != 0 and "deletionTimestamp" not in meta):
            return False
        self._newest[meta["uid"]] = version
        return True

    def newest(self) -> dict[str, int]:
        """The newest version of each instance so far, by uid."""
        return dict(self._newest)

    def clear(self) -> None:
        """Believe whatever comes next: the API server's store has gone back."""
        self._newest.clear()

    def forget(self, uid: str) -> None:
        """The instance is gone."""
        self._newest.pop(uid, None)
