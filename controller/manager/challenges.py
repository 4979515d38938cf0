"""The Challenges as the watch has them, so that placement asks the API server for none.

Who places thousands must not read thousands of objects. One that is not here is asked for, since
the watch may be behind; that there is none is believed until some Challenge changes.
"""

from collections.abc import Sequence

from controller.api.challenge import Challenge
from controller.cluster.client import CHALLENGES, Cluster, Object
from controller.cluster.errors import NotFound
from controller.cluster.version import version_of


class Challenges:
    """All Challenges by namespace and name; each is parsed once, when it is first needed."""

    def __init__(self, cluster: Cluster, namespaces: Sequence[str] = ()) -> None:
        """``namespaces`` are those served; empty for all."""
        self._cluster = cluster
        self._namespaces = namespaces or ("",)
        self._found: dict[tuple[str, str], Object | Challenge] = {}
        self._versions: dict[tuple[str, str], int] = {}
        self._absent: set[tuple[str, str]] = set()
        self.generation = 0
        """Grows with each change; what was worked out at an earlier one may be outdated."""

    def observe(self, body: Object, *, deleted: bool) -> None:
        """Take a Challenge as the watch, or a list, has it."""
        meta = body["metadata"]
        key, version = (meta.get("namespace", ""), meta["name"]), version_of(body)
        if deleted:
            self._forget(key)
            return
        if key in self._found and version <= self._versions[key] != 0:
            return
        self._found[key], self._versions[key] = body, version
        self._changed()

    def forget_versions(self) -> None:
        """What comes next counts, whatever was known: the store has gone back."""
        self._versions = dict.fromkeys(self._versions, 0)

    async def load(self) -> None:
        """Read all of them anew; raises ApiError."""
        before, versions, listed = set(self._found), dict(self._versions), set()
        for namespace in self._namespaces:
            async for body in self._cluster.list(CHALLENGES, namespace):
                key = (body["metadata"].get("namespace", ""), body["metadata"]["name"])
                listed.add(key)
                self._cluster.history.compare(body, versions.get(key, 0))
                self.observe(body, deleted=False)
        for key in before - listed:  # what has come meanwhile stays
            self._forget(key)
        self._absent.clear()

    async def find(self, namespace: str, name: str) -> Challenge | None:
        """The Challenge of that name; None when there is none. Raises ApiError.

        Raises ValidationError for one that cannot be read.
        """
        key = (namespace, name)
        found = self._found.get(key)
        if isinstance(found, Challenge):
            return found
        if found is not None:
            parsed = self._found[key] = Challenge.model_validate(found)
            return parsed
        if key in self._absent:
            return None
        try:
            # Not kept: its deletion may have been seen before this answer.
            return Challenge.model_validate(await self._cluster.get(CHALLENGES, name, namespace))
        except NotFound:
            self._absent.add(key)
            return None

    def _forget(self, key: tuple[str, str]) -> None:
        self._versions.pop(key, None)
        if self._found.pop(key, None) is not None:
            self._changed()

    def _changed(self) -> None:
        self.generation += 1
        self._absent.clear()
