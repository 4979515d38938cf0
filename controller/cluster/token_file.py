"""A bearer token in a file, read anew when it has changed.

Tokens of service accounts end: a kubelet writes a new one into a pod's file long before that. It
must not keep a token that its file no longer holds, and must not fail while the file is replaced.
"""

import logging
import os
from pathlib import Path
from typing import Any, Final

import yaml
from kubernetes.aio import client as kubernetes_client
from kubernetes.aio import config as kubernetes_config

logger = logging.getLogger(__name__)

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""Where a kubelet puts the token of a pod's service account."""


class TokenFile:
    """The token in one file, for a client's configuration."""

    def __init__(self, path: Path) -> None:
        """Nothing is read before the first use."""
        self._path = path
        self._state: tuple[int, int, int] | None = None
        self._told = ""

    def use(self, configuration: kubernetes_client.Configuration) -> None:
        """Have every request of the configuration's clients bear the file's token of that time.

        Raises OSError when it cannot be read now, ValueError when it is empty.
        """
        configuration.api_key["BearerToken"] = self._read()
        configuration.refresh_api_key_hook = self._refresh

    def _refresh(self, configuration: kubernetes_client.Configuration) -> None:
        # One stat a request, some microseconds: no token is sent that has been replaced.
        try:
            if self._present() == self._state:
                return
            configuration.api_key["BearerToken"] = self._read()
        except (OSError, ValueError) as error:
            # The one that we have may be valid for some time, while the file is being replaced.
            if str(error) != self._told:
                logger.warning("Keeping the token that was in use: %s", error)
                self._told = str(error)
        else:
            self._told = ""
            logger.info("Took a new token from %s", self._path)

    def _read(self) -> str:
        # The state from before the read: a change in between is noticed the next time.
        state, token = self._present(), self._path.read_text().strip()
        if not token:
            raise ValueError(f"{self._path} is empty; expected a bearer token")
        self._state = state
        return f"Bearer {token}"

    def _present(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return found.st_ino, found.st_mtime_ns, found.st_size


def of_kubeconfig(files: str | None) -> TokenFile | None:
    """The ``tokenFile`` of the user of the current context; None when it has a token otherwise.

    ``files`` is a path, or several as $KUBECONFIG has them; None is ~/.kube/config. They must be
    such that the client could load them.
    """
    files = files or kubernetes_config.KUBE_CONFIG_DEFAULT_LOCATION
    _, current = kubernetes_config.list_kube_config_contexts(config_file=files)
    wanted = current["context"].get("user")
    for file in filter(None, files.split(os.pathsep)):
        path = Path(file).expanduser()
        content: dict[str, Any] = yaml.safe_load(path.read_text()) if path.exists() else {}
        for each in content.get("users") or []:
            if each["name"] == wanted:
                user = each.get("user") or {}
                token = None if user.get("token") else user.get("tokenFile")
                return TokenFile(path.absolute().parent / token) if token else None
    return None
