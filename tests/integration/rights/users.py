"""Users of the API server, each with one kubeconfig's credentials, and what it answers them."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

Object = dict[str, Any]
GROUP_PATH = "/apis/challenge-controller.io/v1alpha1"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/challenge-system/leases"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class User:
    """Sends requests; each is a dry run, which is decided upon in full and changes nothing."""

    server: str
    session: requests.Session

    @classmethod
    def of(cls, kubeconfig: Path, folder: Path) -> "User":
        """The user of a kubeconfig; `folder` is for files of certificates."""
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        session = requests.Session()
        # A proxy or a bundle of CAs of the machine's own would go before what is set here.
        session.trust_env = False
        session.verify = _file(folder / "ca.crt", cluster["certificate-authority-data"])
        if "tokenFile" in user:
            session.headers["Authorization"] = f"Bearer {Path(user['tokenFile']).read_text()}"
        else:
            session.cert = (
                _file(folder / f"{kubeconfig.stem}.crt", user["client-certificate-data"]),
                _file(folder / f"{kubeconfig.stem}.key", user["client-key-data"]),
            )
        return cls(cluster["server"], session)

    def bearing(self, token: str) -> "User":
        """Another user, who has this token."""
        session = requests.Session()
        session.trust_env = False
        session.verify = self.session.verify
        session.headers["Authorization"] = f"Bearer {token}"
        return User(self.server, session)

    def impersonating(self, name: str, group: str) -> "User":
        """Another user, by name and one group, who has no extra attributes at all."""
        session = requests.Session()
        session.trust_env = False
        session.verify, session.cert = self.session.verify, self.session.cert
        session.headers["Impersonate-User"] = name
        session.headers["Impersonate-Group"] = group
        return User(self.server, session)

    def get(self, path: str) -> Object:
        """An object as it is."""
        found: Object = self.session.get(self.server + path).json()
        return found

    def create(self, path: str, body: Object) -> str:
        """What the API server says against an object; empty when it takes it."""
        return self._ask("POST", path, body)

    def delete(self, path: str) -> str:
        """What it says against an object's deletion."""
        return self._ask("DELETE", path, None)

    def merge(self, path: str, patch: Object) -> str:
        """What it says against a change by merge patch."""
        return self._ask("PATCH", path, patch, MERGE)

    def apply(self, path: str, body: Object) -> str:
        """What it says against a server-side apply."""
        return self._ask("PATCH", path, body, APPLY, fieldManager="test", force="true")

    def change(self, path: str, how: Callable[[Object], object], read_by: "User") -> str:
        """What it says against an object, or its status, written anew as `how` changes it."""
        body = read_by.get(path.removesuffix("/status"))
        how(body)
        return self._ask("PUT", path, body)

    def _ask(
        self, method: str, path: str, body: Object | None, kind: str = "", **query: str
    ) -> str:
        answer = self.session.request(
            method,
            self.server + path,
            params={"dryRun": "All"} | query,
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": kind or "application/json"},
        )
        return "" if answer.status_code < 400 else str(answer.json()["message"])


def _file(path: Path, data: str) -> str:
    path.write_bytes(base64.b64decode(data))
    return str(path)
