"""The one API client of a process: typed paths, plain dictionaries, typed errors.

A thin door over kubernetes' asyncio client, which brings the kubeconfig, TLS and tokens. It
retries nothing: who calls knows what a repetition would mean. What the API server asks to be left
alone with for a while it does leave alone, whoever calls.
"""

import os
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import yaml
from kubernetes.aio import client as kubernetes_client
from kubernetes.aio import config as kubernetes_config

from controller.api.meta import GROUP, VERSION
from controller.cluster import answers, calls, errors
from controller.cluster.history import History
from controller.cluster.holds import Holds
from controller.cluster.token_file import SERVICE_ACCOUNT, TokenFile, of_kubeconfig

Object = dict[str, Any]

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"

REQUEST_TIMEOUT: Final = 30.0
"""Longest wait for one answer, in seconds: a LIST of 10,000 instances takes about 3."""
GET_TIMEOUT: Final = 10.0
"""The same for one object, which takes milliseconds. On a connection whose packets vanish it is how
late a node that is cut off sees that it can ask nobody whether an instance's time is over."""
CONNECT_TIMEOUT: Final = 5.0
"""Longest wait for a connection, in seconds. Where packets vanish, the kernel's own tries become
ever rarer: one begun during an outage would not notice its end for half a minute."""
PAGE: Final = 500
"""Objects in one answer of a LIST; kube-apiserver's own clients use the same."""
CONNECTIONS: Final = 64
UNUSABLE: Final = (
    kubernetes_config.ConfigException,
    OSError,
    yaml.YAMLError,
    # What the loader stumbles over in a file that is YAML, but no kubeconfig.
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Kind:
    """A resource of the API server: where it lives and how it is called."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    def path(self, name: str = "", namespace: str = "", subresource: str = "") -> str:
        """Path of an object, or of the collection when no name is given."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/" + "/".join(parts)

    @property
    def api_version(self) -> str:
        """``group/version``, as manifests have it."""
        return f"{self.group}/{self.version}" if self.group else self.version


INSTANCES: Final = Kind(GROUP, VERSION, "challengeinstances", "ChallengeInstance")
CHALLENGES: Final = Kind(GROUP, VERSION, "challenges", "Challenge")
POOLS: Final = Kind(GROUP, VERSION, "challengepools", "ChallengePool")
NODES: Final = Kind(GROUP, VERSION, "challengenodes", "ChallengeNode", namespaced=False)
LEASES: Final = Kind("coordination.k8s.io", "v1", "leases", "Lease")
EVENTS: Final = Kind("", "v1", "events", "Event")
SECRETS: Final = Kind("", "v1", "secrets", "Secret")
CONFIG_MAPS: Final = Kind("", "v1", "configmaps", "ConfigMap")
NAMESPACES: Final = Kind("", "v1", "namespaces", "Namespace", namespaced=False)


class Cluster:
    """One API server, reached with one set of credentials."""

    observe: calls.Observer = staticmethod(calls.nobody)
    """Told of each request that was sent, once it has ended."""
    answered_at: float | None = None
    """When the API server last answered anything; monotonic seconds."""

    def __init__(self, api: kubernetes_client.ApiClient) -> None:
        """Take an API client over; ``close`` closes it."""
        self._api = api
        self._holds = Holds()
        self.history = History()

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None) -> "Cluster":
        """Load the credentials; sends no request. A token's file is read anew when it changes.

        Raises ConfigurationError when there is no usable kubeconfig or service account.
        """
        configuration = kubernetes_client.Configuration()
        configuration.connection_pool_maxsize = CONNECTIONS
        file = kubeconfig or os.environ.get("KUBECONFIG")
        try:
            if not file and "KUBERNETES_SERVICE_HOST" in os.environ:
                kubernetes_config.load_incluster_config(configuration, try_refresh_token=False)
                TokenFile(SERVICE_ACCOUNT).use(configuration)
            else:
                files = str(file) if file else None
                await kubernetes_config.load_kube_config(files, client_configuration=configuration)
                if token_file := of_kubeconfig(files):
                    token_file.use(configuration)
        except UNUSABLE as error:
            source = file or "the pod's service account and ~/.kube/config"
            raise ConfigurationError(f"No usable credentials in {source}: {error}") from None
        configuration.proxy = configuration.proxy or _proxy(configuration.host)
        # Else the environment, and ~/.netrc, are looked up for each request, by two threads.
        configuration.client_session_kwargs = {"trust_env": False}
        return cls(kubernetes_client.ApiClient(configuration))

    @property
    def configuration(self) -> kubernetes_client.Configuration:
        """Server, certificates and token, for those who must connect themselves (kopf)."""
        return self._api.configuration

    @property
    def tls(self) -> ssl.SSLContext:
        """How the server is known, and who asks, for the same."""
        context: ssl.SSLContext = self._api.rest_client.ssl_context
        return context

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()

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
        """Send one request and return the answer's object.

        Raises ApiError and its kinds; ApiUnavailable when there was no answer in ``timeout``
        seconds, or one that is none, or, without asking, when it is not time to ask again yet.
        """
        self._holds.check(path)
        begun = time.monotonic()
        result: calls.Result = "unavailable"
        try:
            answer = await self._ask(method, path, body, query, content_type, timeout)
            result = "ok"
            return answer
        except errors.ApiError as error:
            result = "unavailable" if isinstance(error, errors.ApiUnavailable) else "refused"
            raise
        finally:
            self.observe(*calls.kind_of(method, path), result, time.monotonic() - begun)

    async def _ask(
        self,
        method: str,
        path: str,
        body: Object | None,
        query: dict[str, str] | None,
        content_type: str,
        timeout: float,
    ) -> Object:
        headers = {"Accept": JSON, "Content-Type": content_type}
        await self._authenticate(headers)
        patience = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_TIMEOUT)
        url = self._api.configuration.host + path + (f"?{urlencode(query)}" if query else "")
        try:
            response = await self._api.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=patience
            )
            data = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            said = str(error) or type(error).__name__
            raise errors.ApiUnavailable(f"The API server does not answer: {said}") from None
        self.answered_at = time.monotonic()
        if response.status >= 400:
            refusal = errors.from_status(
                response.status,
                answers.status(data, response.reason),
                answers.retry_after(response),
            )
            self._holds.note(path, refusal)
            raise refusal
        return answers.parse(data)

    async def _authenticate(self, headers: dict[str, str]) -> None:
        for setting in (await self._api.configuration.auth_settings()).values():
            if setting["value"]:
                headers[setting["key"]] = setting["value"]

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Object:
        """Read one object; raises NotFound."""
        return await self.request("GET", kind.path(name, namespace), timeout=GET_TIMEOUT)

    async def list(
        self, kind: Kind, namespace: str = "", *, field_selector: str = ""
    ) -> AsyncIterator[Object]:
        """Read all objects of a kind, page by page."""
        query = {"limit": str(PAGE)}
        if field_selector:
            query["fieldSelector"] = field_selector
        before = self.history.newest(kind.plural)
        while True:
            answer = await self.request("GET", kind.path(namespace=namespace), query=query)
            if "items" not in answer:  # to take it for an empty list would be the end of many
                raise errors.ApiUnavailable(
                    f"{answers.NO_ANSWER}: expected a list of {kind.plural}"
                )
            if "continue" not in query:  # the other pages are of the same moment
                self.history.listed(kind.plural, answer, before)
            for item in answer["items"] or []:
                yield item
            if not (more := answer.get("metadata", {}).get("continue")):
                return
            query["continue"] = more

    async def create(self, kind: Kind, body: Object, namespace: str = "") -> Object:
        """Create an object; raises Conflict when the name is taken."""
        body = {"apiVersion": kind.api_version, "kind": kind.kind} | body
        return await self.request("POST", kind.path(namespace=namespace), body)

    async def replace(self, kind: Kind, body: Object, *, subresource: str = "") -> Object:
        """Write a whole object; its resourceVersion is the precondition (Conflict)."""
        meta = body["metadata"]
        path = kind.path(meta["name"], meta.get("namespace", ""), subresource)
        return await self.request("PUT", path, body)

    async def merge(self, kind: Kind, name: str, patch: Object, namespace: str = "") -> Object:
        """Change an object by a JSON merge patch (RFC 7386)."""
        path = kind.path(name, namespace)
        return await self.request("PATCH", path, patch, content_type=MERGE_PATCH)

    async def apply(
        self, kind: Kind, name: str, body: Object, namespace: str = "", *, manager: str
    ) -> Object:
        """Server-side apply as the field manager ``manager``, by force."""
        body = {"apiVersion": kind.api_version, "kind": kind.kind} | body
        query = {"fieldManager": manager, "force": "true"}
        path = kind.path(name, namespace)
        return await self.request("PATCH", path, body, query=query, content_type=APPLY_PATCH)

    async def delete(
        self, kind: Kind, name: str, namespace: str = "", *, uid: str = "", version: str = ""
    ) -> None:
        """Ask for an object's deletion; with preconditions on uid and resourceVersion."""
        conditions = {"uid": uid, "resourceVersion": version}
        preconditions = {key: value for key, value in conditions.items() if value}
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": preconditions}
        await self.request("DELETE", kind.path(name, namespace), body)

    async def identity(self) -> str:
        """The cluster's identity: the uid of its kube-system namespace."""
        namespace = await self.get(NAMESPACES, "kube-system")
        return str(namespace["metadata"]["uid"])


class ConfigurationError(Exception):
    """There are no credentials to reach an API server with."""


def _proxy(server: str) -> str | None:
    """The proxy that the environment (HTTPS_PROXY, NO_PROXY) names for that URL."""
    url = urlsplit(server)
    if not url.hostname or proxy_bypass(url.netloc):
        return None
    return getproxies().get(url.scheme)
