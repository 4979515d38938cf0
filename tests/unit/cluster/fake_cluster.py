"""A stand-in for the API server: objects in a dictionary, with versions, and faults on demand.

It keeps what every resource of the real one keeps: a uid, a resourceVersion that each write changes
and that is a precondition where a request names it, and 404 and 409 as a Status. It knows no
schema, no defaults and no finalizers.
"""

import asyncio
import copy
from collections import UserDict
from collections.abc import Awaitable, Callable
from typing import Any

from controller.cluster.client import JSON, REQUEST_TIMEOUT, Cluster, Kind, Object
from controller.cluster.errors import Conflict, NotFound
from controller.cluster.history import History

Fault = Callable[[str, str], Awaitable[None]]
"""Called with method and path before a request; what it raises is the answer."""


class Objects(UserDict[str, Object]):
    """The objects by path; ``changed`` is set at the next change of them, and another one then."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        super().__init__()

    def __setitem__(self, path: str, body: Object) -> None:
        super().__setitem__(path, body)
        self._tell()

    def __delitem__(self, path: str) -> None:
        super().__delitem__(path)
        self._tell()

    def _tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class FakeCluster(Cluster):
    """The real client's methods over a dictionary instead of a connection."""

    def __init__(self) -> None:
        self.objects = Objects()
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[Object | None] = []
        self.queries: list[dict[str, str]] = []
        self.before: Fault | None = None
        self.after: Fault | None = None
        self._version = 0
        self.history = History()

    def put(self, kind: Kind, body: Object) -> Object:
        """Have an object there, as somebody else's write; returns it as the server has it."""
        meta = body["metadata"]
        path = kind.path(meta["name"], meta.get("namespace", ""))
        written = {"apiVersion": kind.api_version, "kind": kind.kind} | copy.deepcopy(body)
        return self._store(path, written)

    def read(self, kind: Kind, name: str, namespace: str = "") -> Object:
        """An object as it is now, without a request."""
        return copy.deepcopy(self.objects[kind.path(name, namespace)])

    def count(self, method: str, part: str = "") -> int:
        """Requests of a method so far whose path contains ``part``."""
        return sum(1 for verb, path in self.requests if verb == method and part in path)

    async def request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        query: dict[str, str] | None = None,
        content_type: str = JSON,
        timeout: float = REQUEST_TIMEOUT,
    ) -> Object:
        """Answer as the API server would, from the dictionary."""
        self.requests.append((method, path))
        self.bodies.append(copy.deepcopy(body))
        self.queries.append(dict(query or {}))
        await asyncio.sleep(0)  # no answer without a turn of the loop
        if self.before:
            await self.before(method, path)
        answer = getattr(self, f"_{method.lower()}")(path, copy.deepcopy(body or {}))
        if self.after:
            await self.after(method, path)
        made: Object = copy.deepcopy(answer)
        return made

    def _get(self, path: str, _body: Object) -> Object:
        if path in self.objects:
            return self.objects[path]
        group, _, plural = path.rpartition("/")
        if plural.endswith("s") and "namespaces/" not in f"{plural}/":
            items = [o for p, o in self.objects.items() if _in(p, group, plural)]
            if items or plural in _COLLECTIONS:
                return {"items": items, "metadata": {}}
        raise _missing(path)

    def _post(self, path: str, body: Object) -> Object:
        if "/namespaces/" in path:
            body["metadata"]["namespace"] = path.split("/")[-2]
        path = f"{path}/{body['metadata']['name']}"
        if path in self.objects:
            raise Conflict(409, "AlreadyExists", f"{path} exists", {})
        return self._store(path, body)

    def _put(self, path: str, body: Object) -> Object:
        target = path.removesuffix("/status")
        present = self._existing(target, body)
        if target != path:
            body = present | {"status": body.get("status", {})}
        return self._store(target, body)

    def _patch(self, path: str, body: Object) -> Object:
        present = self._existing(path, body)
        return self._store(path, _merged(present, body))

    def _delete(self, path: str, body: Object) -> Object:
        self._existing(path, {"metadata": body.get("preconditions", {})})
        return self.objects.pop(path)

    def _existing(self, path: str, body: Object) -> Object:
        if path not in self.objects:
            raise _missing(path)
        present, wanted = self.objects[path], body.get("metadata", {})
        for key in ("uid", "resourceVersion"):
            if wanted.get(key) not in (None, "", present["metadata"][key]):
                raise Conflict(409, "Conflict", f"{path} has changed", {})
        return present

    def _store(self, path: str, body: Object) -> Object:
        self._version += 1
        meta = {"uid": f"uid-{path}", "generation": 1} | body["metadata"]
        body["metadata"] = meta | {"resourceVersion": str(self._version)}
        self.objects[path] = body
        return copy.deepcopy(body)


_COLLECTIONS = (
    "leases",
    "challengenodes",
    "challengeinstances",
    "challengepools",
    "challenges",
    "events",
)


def _in(path: str, group: str, plural: str) -> bool:
    parts = path.split("/")
    return len(parts) > 2 and parts[-2] == plural and path.startswith(group)


def _missing(path: str) -> NotFound:
    name = path.removesuffix("/status").rpartition("/")[2]
    return NotFound(404, "NotFound", f"{name} not found", {"name": name})


def _merged(present: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or not isinstance(present, dict):
        return patch
    rest = {key: value for key, value in present.items() if key not in patch}
    changed = {k: _merged(present.get(k), v) for k, v in patch.items() if v is not None}
    return rest | changed
