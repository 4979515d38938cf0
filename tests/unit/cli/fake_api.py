"""A stand-in for the API server, over HTTP: objects by their path, pages, selectors, refusals.

It answers as the real one does where the plugin depends on it: a Status for what is missing or
refused, plain text for a path that nobody serves, preconditions of a DELETE, `dryRun`.
"""

import copy
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Object = dict[str, Any]
Answer = tuple[int, Any]
NODES = "/apis/challenge-controller.io/v1alpha1/challengenodes"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/challenge-system/leases"


def instances(namespace: str = "") -> str:
    """The path of the instances of a namespace, or of all."""
    place = f"/namespaces/{namespace}" if namespace else ""
    return f"/apis/challenge-controller.io/v1alpha1{place}/challengeinstances"


def status(code: int, reason: str, message: str, name: str = "") -> Answer:
    """A refusal as the API server words it."""
    body: Object = {"kind": "Status", "status": "Failure", "reason": reason, "message": message}
    return code, body | ({"details": {"name": name}} if name else {})


class FakeApi:
    """Objects by path, and what was asked for; `before` may answer in their place."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.requests: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.queries: list[dict[str, list[str]]] = []
        self.served = {"challengenodes", "challengeinstances", "leases"}
        self.before: Callable[[str, str], Answer | None] = lambda method, path: None
        self.created: Callable[[Object], None] = lambda body: None
        """Told of each object that is created; may add to it."""
        self._version = 0
        fake = self

        class Handler(BaseHTTPRequestHandler):
            """Hands each request to the fake."""

            def do(self) -> None:
                """Answer."""
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"{}")
                url = urlsplit(self.path)
                fake.headers.append(dict(self.headers))
                code, content = fake.answer(self.command, url.path, parse_qs(url.query), body)
                data = (
                    content.encode() if isinstance(content, str) else json.dumps(content).encode()
                )
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PATCH = do_DELETE = do_POST = do

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        """Serve until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """End serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def kubeconfig(self, path: Path, **user: Any) -> Path:
        """Write a kubeconfig for it with one context, `fake`."""
        content = {
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "operator", "user": user or {"token": "secret"}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "operator"}}],
            "current-context": "fake",
        }
        path.write_text(yaml.safe_dump(content))
        return path

    def put(self, collection: str, body: Object) -> Object:
        """Have an object there, with a uid and a version."""
        self._version += 1
        meta = {"uid": f"uid-{body['metadata']['name']}"} | body["metadata"]
        stored = body | {"metadata": meta | {"resourceVersion": str(self._version)}}
        self.objects[f"{collection}/{meta['name']}"] = stored
        return stored

    def changes(self) -> list[tuple[str, str]]:
        """The requests that were no reading."""
        return [request for request in self.requests if request[0] != "GET"]

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Object) -> Answer:
        """Answer a request."""
        self.requests.append((method, path))
        self.queries.append(query)
        if instead := self.before(method, path):
            return instead
        collection, _, name = path.rpartition("/")
        if name in self.served and method == "POST":
            self.created(body)
            return 201, self.put(path, body)
        if name in self.served:
            return self._list(path, query)
        if collection.rpartition("/")[2] not in self.served:
            return 404, "404 page not found\n"
        if path not in self.objects:
            return status(404, "NotFound", f'"{name}" not found', name)
        if method == "PATCH":
            self.put(collection, _merged(self.objects[path], body))
        if method == "DELETE":
            return self._delete(path, body)
        return 200, copy.deepcopy(self.objects[path])

    def _list(self, path: str, query: dict[str, list[str]]) -> Answer:
        group, _, plural = path.rpartition("/")
        found = [
            body
            for place, body in sorted(self.objects.items())
            if place.rpartition("/")[0].endswith(f"/{plural}") and place.startswith(group)
        ]
        for selector in query.get("fieldSelector", [""])[0].split(","):
            field, _, wanted = selector.partition("=")
            found = [body for body in found if not field or _field(body, field) == wanted]
        start = int(query.get("continue", ["0"])[0])
        end = start + int(query.get("limit", ["100000"])[0])
        more = {"continue": str(end)} if end < len(found) else {}
        return 200, {"kind": "List", "metadata": more, "items": found[start:end]}

    def _delete(self, path: str, body: Object) -> Answer:
        meta = self.objects[path]["metadata"]
        for key, wanted in body.get("preconditions", {}).items():
            if meta[key] != wanted:
                return status(409, "Conflict", f"{key} differs", meta["name"])
        if "dryRun" not in body:
            del self.objects[path]
        return 200, {"kind": "Status", "status": "Success"}


def _field(body: Object, path: str) -> Any:
    for key in path.split("."):
        body = body.get(key) or {}
    return body or ""


def _merged(present: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or not isinstance(present, dict):
        return patch
    rest = {key: value for key, value in present.items() if key not in patch}
    return rest | {k: _merged(present.get(k), v) for k, v in patch.items() if v is not None}
