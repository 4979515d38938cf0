"""A small client for the tests of the API: it asks the real API server and shows its complaints."""

import base64
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from controller.api.crd import KINDS
from controller.api.meta import API_VERSION
from hack.bed.controlplane import ControlPlane

PLURALS = {kind.model.KIND: kind.model.PLURAL for kind in KINDS}
CLUSTER_SCOPED = {kind.model.KIND for kind in KINDS if not kind.model.NAMESPACED}

MORE = "some validation rules were not checked because the object was invalid"
"""No complaint of its own: it says that there may be others."""


@dataclass(frozen=True)
class Client:
    """A connection to the API server at a URL."""

    url: str
    session: requests.Session


class Api:
    """Sends objects to the API server and returns what it complains about.

    A request is a dry run unless `keep` is set: it is validated in full, and nothing stays.
    """

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._kept: dict[str, str] = {}

    def create(self, body: dict[str, Any], *, keep: bool = False) -> list[str]:
        """Create an object; return the complaints as `field: message`, none if it is taken."""
        return self._complaints("post", self._path(body), body, keep)

    def update(
        self, body: dict[str, Any], *, subresource: str = "", keep: bool = False
    ) -> list[str]:
        """Put an object, or its status, in the place of the one that was kept."""
        path = self._path(body, named=True)
        version = self._kept[path]
        body = {**body, "metadata": {**body["metadata"], "resourceVersion": version}}
        return self._complaints("put", f"{path}/{subresource}".rstrip("/"), body, keep)

    def submit(self, body: dict[str, Any]) -> requests.Response:
        """Try to create an object, and return what the API server answers."""
        return self._client.session.post(self._url(self._path(body), keep=False), json=body)

    def defaulted(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return an object as it would be stored; it must be valid."""
        answer = self.submit(body)
        assert answer.status_code == 201, answer.text
        result: dict[str, Any] = answer.json()
        return result

    def get(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the stored object of that kind and name."""
        answer = self._client.session.get(self._client.url + self._path(body, named=True))
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()
        return result

    def clean(self) -> None:
        """Delete all that was kept."""
        for path in self._kept:
            self._client.session.delete(self._client.url + path)
        self._kept.clear()

    def _complaints(self, verb: str, path: str, body: dict[str, Any], keep: bool) -> list[str]:
        answer = getattr(self._client.session, verb)(self._url(path, keep=keep), json=body)
        if answer.status_code in (200, 201):
            if keep:
                version = answer.json()["metadata"]["resourceVersion"]
                self._kept[self._path(body, named=True)] = version
            return []
        status = answer.json()
        causes = status.get("details", {}).get("causes")
        if not causes:
            return [status["message"]]
        return [
            f"{cause['field']}: {cause['message']}" for cause in causes if MORE not in str(cause)
        ]

    def _path(self, body: dict[str, Any], *, named: bool = False) -> str:
        kind = body["kind"]
        place = "" if kind in CLUSTER_SCOPED else f"/namespaces/{self._namespace}"
        path = f"/apis/{API_VERSION}{place}/{PLURALS[kind]}"
        return f"{path}/{body['metadata']['name']}" if named else path

    def _url(self, path: str, *, keep: bool) -> str:
        mode = "" if keep else "&dryRun=All"
        return f"{self._client.url}{path}?fieldValidation=Strict{mode}"


@pytest.fixture(scope="session")
def client(control_plane: ControlPlane) -> Iterator[Client]:
    """The administrator's connection to the API server."""
    config = yaml.safe_load(control_plane.admin_kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    with tempfile.TemporaryDirectory() as folder, requests.Session() as session:
        ca, certificate, key = (Path(folder) / name for name in ("ca", "certificate", "key"))
        ca.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
        certificate.write_bytes(base64.b64decode(user["client-certificate-data"]))
        key.write_bytes(base64.b64decode(user["client-key-data"]))
        # A proxy or a bundle of CAs of the machine's own would go before what is set here.
        session.trust_env = False
        session.verify = str(ca)
        session.cert = (str(certificate), str(key))
        yield Client(cluster["server"], session)


@pytest.fixture(scope="session")
def shared_namespace(client: Client) -> str:
    """A namespace for objects that are only tried, or deleted again: making one takes long."""
    name = f"test-api-{uuid.uuid4().hex[:8]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    client.session.post(f"{client.url}/api/v1/namespaces", json=body).raise_for_status()
    return name


@pytest.fixture
def api(client: Client, shared_namespace: str) -> Iterator[Api]:
    """Ask the API server; what a test keeps is deleted after it."""
    api = Api(client, shared_namespace)
    yield api
    api.clean()
