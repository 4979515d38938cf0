"""Values that containers take from Secrets and ConfigMaps.

Only Secrets that their owner has labelled for this use are read out: who may create instances
must not be able to print any other. A value never goes into an error, a log line or an event.
"""

import base64
import binascii
from typing import Final

from controller.cluster.client import CONFIG_MAPS, SECRETS, Cluster, Kind, Object
from controller.cluster.errors import Forbidden, NotFound, Unauthorized

USE_LABEL: Final = "challenge-controller.io/use"


class ReferenceMissing(Exception):
    """A Secret, ConfigMap or key does not exist or may not be used; the text says which."""

    def __init__(self, kind: Kind, message: str) -> None:
        """``kind`` is SECRETS or CONFIG_MAPS."""
        super().__init__(message)
        self.kind = kind


async def secret(cluster: Cluster, namespace: str, name: str) -> Object:
    """A Secret that its owner has released for this use; raises ReferenceMissing."""
    found = await _read(cluster, SECRETS, namespace, name)
    if (found["metadata"].get("labels") or {}).get(USE_LABEL) != "true":
        message = f'Secret {name!r} lacks the label {USE_LABEL}: "true", so it is not read'
        raise ReferenceMissing(SECRETS, message)
    return found


async def secret_value(cluster: Cluster, namespace: str, name: str, key: str) -> str:
    """The value of a Secret's key; raises ReferenceMissing."""
    data = (await secret(cluster, namespace, name)).get("data") or {}
    if key not in data:
        raise ReferenceMissing(SECRETS, f"Secret {name!r} has no key {key!r}")
    try:
        return base64.b64decode(data[key]).decode()
    except (binascii.Error, UnicodeDecodeError):
        message = f"Key {key!r} of Secret {name!r} is not text in UTF-8"
        raise ReferenceMissing(SECRETS, message) from None


async def config_map_value(cluster: Cluster, namespace: str, name: str, key: str) -> str:
    """The value of a ConfigMap's key; raises ReferenceMissing."""
    config_map = await _read(cluster, CONFIG_MAPS, namespace, name)
    data = config_map.get("data") or {}
    if key not in data:
        raise ReferenceMissing(CONFIG_MAPS, f"ConfigMap {name!r} has no key {key!r}")
    return str(data[key])


async def config_map_files(cluster: Cluster, namespace: str, name: str) -> dict[str, bytes]:
    """All that a ConfigMap holds, text and not, by its keys; raises ReferenceMissing."""
    config_map = await _read(cluster, CONFIG_MAPS, namespace, name)
    text = {key: str(value).encode() for key, value in (config_map.get("data") or {}).items()}
    binary = config_map.get("binaryData") or {}
    return text | {key: base64.b64decode(value) for key, value in binary.items()}


async def _read(cluster: Cluster, kind: Kind, namespace: str, name: str) -> Object:
    """An object that is referred to; raises ReferenceMissing where it is not there, or not ours."""
    try:
        return await cluster.get(kind, name, namespace)
    except NotFound:
        raise ReferenceMissing(kind, f"{kind.kind} {name!r} does not exist") from None
    except Unauthorized:
        raise
    except Forbidden:
        message = f"{kind.kind} {name!r} may not be read by the controller in this namespace"
        raise ReferenceMissing(kind, message) from None
