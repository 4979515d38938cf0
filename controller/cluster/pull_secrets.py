"""Registries' passwords from Secrets of the type kubernetes.io/dockerconfigjson.

Reads them as `docker login` and `kubectl create secret docker-registry` write them. Which of them
is for which image is not decided here. No password goes into an error.
"""

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import Any, Final

from controller.cluster import references
from controller.cluster.client import SECRETS, Cluster
from controller.cluster.references import ReferenceMissing

TYPE: Final = "kubernetes.io/dockerconfigjson"
KEY: Final = ".dockerconfigjson"


@dataclass(frozen=True)
class Login:
    """The credentials for a registry, which is named as the Secret names it."""

    registry: str
    username: str
    password: str = field(repr=False)
    identity_token: str = field(default="", repr=False)


async def logins(cluster: Cluster, namespace: str, name: str) -> list[Login]:
    """The credentials in a Secret, in its order.

    Raises ReferenceMissing when it does not exist, may not be used, or holds something else.
    """
    secret = await references.secret(cluster, namespace, name)
    text = (secret.get("data") or {}).get(KEY)
    if secret.get("type") != TYPE or text is None:
        raise _unreadable(name, f"expected the type {TYPE} and a key {KEY}")
    try:
        auths = json.loads(base64.b64decode(text))["auths"]
        return [_login(registry, entry) for registry, entry in auths.items()]
    except _Unreadable as error:
        raise _unreadable(name, str(error)) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        # Not the exception's words: those of a decoder can quote what it was given.
        raise _unreadable(
            name, f'expected JSON in {KEY}: {{"auths": {{"<registry>": …}}}}'
        ) from None


class _Unreadable(Exception):
    """An entry is not as expected; the text names the registry and nothing secret."""


def _unreadable(name: str, expected: str) -> ReferenceMissing:
    message = f"Secret {name!r} cannot be used as an imagePullSecret: {expected}"
    return ReferenceMissing(SECRETS, message)


def _login(registry: str, entry: dict[str, Any]) -> Login:
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            decoded = base64.b64decode(str(entry["auth"]).rstrip("=") + "==").decode()
        except (binascii.Error, UnicodeDecodeError):
            decoded = ""
        username, colon, password = decoded.partition(":")
        if not colon:
            raise _Unreadable(f"expected base64 of user:password in the auth of {registry}")
        password = password.strip("\0")  # docker login has padded it with these
    token = str(entry.get("identitytoken") or "")
    if not (token or (username and password)):
        raise _Unreadable(f"expected auth, username and password, or identitytoken for {registry}")
    return Login(registry, username, password, token)
