"""The API server as the run's users talk to it: a few requests, and what their failure means."""

import threading
from typing import Any, Final

import requests

from controller.api.meta import API_VERSION
from hack.bed.controlplane import ControlPlane

Object = dict[str, Any]

TIMEOUT: Final = 5.0
MERGE_PATCH: Final = "application/merge-patch+json"


class NoAnswer(Exception):
    """The API server did not answer, or with an error of its own: try again."""


class Refused(Exception):
    """The API server answered with this code and these words."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code


class Api:
    """Requests as the bed's administrator; any thread may make them."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        """Of the instances of one namespace, and the nodes."""
        self._server = f"{plane.server}/apis/{API_VERSION}"
        self._core = f"{plane.server}/api/v1"
        self._pki = plane.state.folder / "pki"
        self._namespace = namespace
        self._local = threading.local()

    def instances(self) -> list[Object]:
        """All instances."""
        found: list[Object] = self._call("GET", self._path())["items"]
        return found

    def instance(self, name: str) -> Object:
        """One of them; raises Refused with 404 when there is none."""
        return self._call("GET", self._path(name))

    def create(self, body: Object) -> Object:
        """Create an instance."""
        return self._call("POST", self._path(), body)

    def delete(self, name: str, uid: str) -> None:
        """Delete the instance of that uid; 409 when the name is another's by now."""
        self._call("DELETE", self._path(name), {"preconditions": {"uid": uid}})

    def patch(self, name: str, spec: Object) -> Object:
        """Change an instance's spec."""
        return self._call("PATCH", self._path(name), {"spec": spec})

    def patch_node(self, name: str, spec: Object) -> Object:
        """Change a node's spec."""
        return self._call("PATCH", f"{self._server}/challengenodes/{name}", {"spec": spec})

    def events(self) -> list[Object]:
        """The Events of the namespace."""
        url = f"{self._core}/namespaces/{self._namespace}/events"
        found: list[Object] = self._call("GET", url)["items"]
        return found

    def close(self) -> None:
        """End this thread's connection."""
        if session := getattr(self._local, "session", None):
            session.close()
            del self._local.session

    def _path(self, name: str = "") -> str:
        url = f"{self._server}/namespaces/{self._namespace}/challengeinstances"
        return f"{url}/{name}" if name else url

    def _call(self, verb: str, url: str, body: Object | None = None) -> Object:
        headers = {"Content-Type": MERGE_PATCH} if verb == "PATCH" else {}
        try:
            answer = self._session().request(verb, url, json=body, headers=headers, timeout=TIMEOUT)
            read: Object = answer.json()
        except (requests.RequestException, ValueError) as error:
            self.close()
            raise NoAnswer(type(error).__name__) from error
        if answer.status_code >= 500 or answer.status_code in (401, 403, 429):
            # One that has just started knows neither roles nor kinds yet.
            raise NoAnswer(f"{answer.status_code} {read.get('message', '')}")
        if answer.status_code >= 400:
            if answer.status_code == 404 and not (read.get("details") or {}).get("name"):
                raise NoAnswer("404: the kind is not served yet")
            raise Refused(answer.status_code, str(read.get("message", "")))
        return read

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False  # a proxy of the environment has no way to a bed
            session.cert = (
                str(self._pki / "client-admin.crt"),
                str(self._pki / "client-admin.key"),
            )
            session.verify = str(self._pki / "ca.crt")
        return session
