"""The plugin's door to the API server: a few requests, paged lists, and errors people understand.

It retries nothing but what an expired token and an outdated page ask for. pykube brings TLS, client
certificates and tokens; the objects are plain dictionaries.
"""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import pykube
import requests
from pykube.exceptions import PyKubeError
from urllib3.exceptions import InsecureRequestWarning

from controller.cli import credentials
from controller.cli.answers import complaint
from controller.cli.errors import CommandError, OutOfDate, Unreachable
from controller.cli.kubeconfig import Access
from controller.cli.resource import Resource

Object = dict[str, Any]

TIMEOUT: Final = 30.0
"""Longest wait for one answer, in seconds."""
PAGE: Final = 500
"""Objects in one answer of a LIST, as with kubectl."""


class Connection:
    """Requests to one API server as one user."""

    def __init__(self, access: Access, folder: Path, timeout: float = TIMEOUT) -> None:
        """`folder` is private to this process: keys lie there."""
        self.access = access
        self._folder = folder
        self._timeout = timeout
        self._ahead = 0.0
        self._client = self._connect()

    @classmethod
    @contextmanager
    def open(cls, access: Access, timeout: float = TIMEOUT) -> Iterator["Connection"]:
        """A connection whose keys are gone from the disk at the end."""
        with tempfile.TemporaryDirectory(prefix="kubectl-challenge-") as folder:
            connection = cls(access, Path(folder), timeout)
            try:
                yield connection
            finally:
                connection._client.session.close()

    def now(self) -> datetime:
        """The time by the API server's clock, once it has answered: ages go by that one."""
        return datetime.fromtimestamp(datetime.now(UTC).timestamp() + self._ahead, UTC)

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        """An object. Raises NotFound when there is none of that name, or another CommandError."""
        return self._ask("get", resource, name, namespace)

    def find(
        self, resource: Resource, namespace: str = "", *, fields: str = "", labels: str = ""
    ) -> list[Object]:
        """All objects of a namespace, or of all namespaces, that the selectors match."""
        parameters = {"fieldSelector": fields, "labelSelector": labels, "limit": str(PAGE)}
        parameters = {key: value for key, value in parameters.items() if value}
        try:
            return self._pages(resource, namespace, parameters)
        except OutOfDate:
            del parameters["limit"]
            return self._pages(resource, namespace, parameters)

    def create(self, resource: Resource, body: Object, namespace: str = "") -> Object:
        """Create an object; returns it as it is then."""
        return self._ask("create", resource, "", namespace, json=body)

    def patch(self, resource: Resource, name: str, change: Object) -> Object:
        """Change a cluster-scoped object by a merge patch; returns it as it is then."""
        headers = {"Content-Type": "application/merge-patch+json"}
        return self._ask("patch", resource, name, json=change, headers=headers)

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        preconditions: dict[str, str],
        dry_run: bool = False,
    ) -> None:
        """Delete an object that is still the one read. Raises Conflict, NotFound, …"""
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        if dry_run:
            body["dryRun"] = ["All"]
        self._ask("delete", resource, name, namespace, json=body)

    def _pages(
        self, resource: Resource, namespace: str, parameters: dict[str, str]
    ) -> list[Object]:
        found: list[Object] = []
        while True:
            page = self._ask("list", resource, "", namespace, params=parameters)
            found += page.get("items") or []
            more = (page.get("metadata") or {}).get("continue")
            if not more:
                return found
            parameters = parameters | {"continue": more}

    def _ask(
        self, verb: str, resource: Resource, name: str, namespace: str = "", **rest: Any
    ) -> Object:
        method = {"list": "GET", "create": "POST"}.get(verb, verb.upper())
        place = {"namespace": namespace} if namespace else {}
        rest |= {"version": resource.api_version, "url": resource.path(name)} | place
        answer = self._send(method, rest)
        if answer.status_code == requests.codes.unauthorized:
            # A token of an exec program or in a file lasts minutes: a long drain outlives it.
            self._client.session.close()
            self._client = self._connect()
            answer = self._send(method, rest)
        self._read_clock(answer)
        if not answer.ok:
            raise complaint(answer, self.access, verb, resource, name, namespace)
        try:
            body: Object = answer.json()
        except requests.JSONDecodeError as error:
            raise Unreachable(
                f"What answers at {self.access.server} is no Kubernetes API server: expected JSON. "
                f"It is the server of the context {self.access.context} in {self.access.source}"
            ) from error
        return body

    def _send(self, method: str, rest: Object) -> requests.Response:
        try:
            with warnings.catch_warnings():
                # The kubeconfig asks for it in so many words (insecure-skip-tls-verify).
                warnings.simplefilter("ignore", InsecureRequestWarning)
                answer: requests.Response = self._client.request(method, **rest)
        except (requests.RequestException, OSError, ValueError) as error:
            raise Unreachable(
                f"No answer from the API server {self.access.server} "
                f"(context {self.access.context} in {self.access.source}): {_innermost(error)}"
            ) from error
        return answer

    def _connect(self) -> Any:
        cluster, user = credentials.prepared(self.access, self._folder)
        name = self.access.context
        document = {
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        }
        try:
            config = pykube.KubeConfig(document, current_context=name)
            client = pykube.HTTPClient(config, timeout=self._timeout)
        except (PyKubeError, KeyError, TypeError, ValueError) as error:
            raise CommandError(
                f"The context {name} in {self.access.source} is not understood: {error}"
            ) from error
        client.session.headers["User-Agent"] = "kubectl-challenge"
        client.session.auth = _unchanged  # or the machine's ~/.netrc is asked for a password
        if proxy := cluster.get("proxy-url"):
            client.session.trust_env = False  # the environment's proxies would go before it
            client.session.proxies = {"http": proxy, "https": proxy}
        return client

    def _read_clock(self, answer: requests.Response) -> None:
        with suppress(KeyError, TypeError, ValueError):
            there = parsedate_to_datetime(answer.headers["Date"]).timestamp()
            ahead = there - datetime.now(UTC).timestamp()
            # The header has whole seconds: a clock that is as good as right is left alone.
            self._ahead = ahead if abs(ahead) > 2 else 0.0


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _innermost(error: BaseException) -> str:
    """The words of what failed in the end, such as `Connection refused`."""
    words = str(error) or type(error).__name__
    seen = error
    while True:
        reason = getattr(seen, "reason", None)
        inner = seen.args[0] if seen.args and isinstance(seen.args[0], BaseException) else None
        deeper = reason if isinstance(reason, BaseException) else inner
        if deeper is None:
            break
        seen = deeper
        words = str(seen) or words
    # urllib3 puts itself before the reason: HTTPSConnection(host=…, port=…): Failed to …
    return words.rpartition(">: ")[2].rpartition("): ")[2]
