"""A user of the API server from inside a test: many small requests, by several threads."""

from pathlib import Path
from typing import Any, Final

import pykube
import requests

Object = dict[str, Any]

GROUP: Final = "challenge-controller.io/v1alpha1"


class User:
    """Makes and deletes objects in one namespace; close it."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        """As who the kubeconfig says."""
        self.namespace = namespace
        self._client = pykube.HTTPClient(pykube.KubeConfig.from_file(str(kubeconfig)))

    def close(self) -> None:
        """Close the connections."""
        self._client.session.close()

    def secret(self, name: str, **data: str) -> None:
        """Make a Secret that is released for the controller's use."""
        meta = {"name": name, "labels": {"challenge-controller.io/use": "true"}}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data}
        self._send("POST", "v1", "secrets", json=body)

    def create(self, instance: Object) -> Object:
        """Make an instance; returns it with its uid."""
        return self._send("POST", GROUP, "challengeinstances", json=instance)

    def find(self, name: str) -> Object | None:
        """An instance; None when there is none of that name."""
        try:
            return self._send("GET", GROUP, f"challengeinstances/{name}")
        except requests.HTTPError as error:
            if error.response is not None and error.response.status_code == 404:
                return None
            raise

    def instances(self) -> list[Object]:
        """All instances of the namespace."""
        found: list[Object] = self._send("GET", GROUP, "challengeinstances")["items"]
        return found

    def change(self, name: str, **spec: Any) -> None:
        """Change an instance's spec."""
        headers = {"Content-Type": "application/merge-patch+json"}
        url = f"challengeinstances/{name}"
        self._send("PATCH", GROUP, url, json={"spec": spec}, headers=headers)

    def delete(self, name: str) -> None:
        """Ask for an instance's deletion."""
        self._send("DELETE", GROUP, f"challengeinstances/{name}")

    def _send(self, method: str, version: str, url: str, **rest: Any) -> Object:
        answer = self._client.request(
            method, version=version, url=url, namespace=self.namespace, **rest
        )
        answer.raise_for_status()
        found: Object = answer.json()
        return found
