"""Which registry passwords of a template's imagePullSecrets an image is pulled with.

Chosen by the registry's host and path, as a kubelet does. Must not pull anything.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from controller.api import image_reference
from controller.api.challenge import LocalObjectReference
from controller.api.image_reference import DOCKER_HUB, HUB_ALIASES, ImageReference
from controller.cluster import pull_secrets
from controller.cluster.client import Cluster
from controller.cluster.pull_secrets import Login
from controller.runtime.images import Auths, RegistryAuth

_SCHEME = re.compile(r"^https?://")
_API_VERSION = re.compile(r"/v[12]/?$")


@dataclass(frozen=True)
class Keyring:
    """Credentials in the order of the Secrets."""

    logins: tuple[Login, ...]

    def auths(self, image: str) -> Auths:
        """The credentials for an image, those for a longer path of its registry first.

        Raises ValueError for what is no image's name.
        """
        named = image_reference.parse(image)
        fitting = [(login, _fit(login.registry, named)) for login in self.logins]
        found = sorted((f for f in fitting if f[1]), key=lambda f: f[1], reverse=True)
        auths = (RegistryAuth(k.username, k.password, k.identity_token) for k, _ in found)
        return tuple(dict.fromkeys(auths))


async def keyring(
    cluster: Cluster, namespace: str, secrets: Sequence[LocalObjectReference]
) -> Keyring:
    """Read the Secrets; raises ReferenceMissing for the first that cannot be used, ApiError."""
    logins: list[Login] = []
    for secret in secrets:
        logins += await pull_secrets.logins(cluster, namespace, secret.name)
    return Keyring(tuple(logins))


def _fit(registry: str, image: ImageReference) -> int:
    """How well a Secret's name of a registry fits an image; 0 when not at all."""
    bare = _API_VERSION.sub("", _SCHEME.sub("", registry.strip().lower())).rstrip("/")
    host, _, path = bare.partition("/")
    if host in HUB_ALIASES:
        host = DOCKER_HUB
    if not _same_host(host, image.registry.lower()):
        return 0
    if path and not f"{image.repository}/".startswith(f"{path}/"):
        return 0
    return 1 + len(path)


def _same_host(pattern: str, host: str) -> bool:
    """Compare label by label: `*` stands for any characters of one label, never for a dot."""
    wanted, found = pattern.split("."), host.split(".")
    return len(wanted) == len(found) and all(
        re.fullmatch("[^:]*".join(map(re.escape, label.split("*"))), other)
        for label, other in zip(wanted, found, strict=True)
    )
