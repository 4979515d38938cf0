"""Names and labels that say whose a container or a network is.

Responsible for the label keys and for the names derived from an instance's uid. Both are an
interface to engines in the field: an agent of a later version finds what an earlier one made by
them, so a key or a pattern that was released is not to be changed. It must not talk to the engine.
"""

import hashlib
import re
from dataclasses import dataclass

PREFIX = "challenge-controller.io/"
INSTALLATION = PREFIX + "installation"
NODE = PREFIX + "node"
INSTANCE_UID = PREFIX + "instance-uid"
INSTANCE_NAMESPACE = PREFIX + "instance-namespace"
INSTANCE_NAME = PREFIX + "instance-name"
TEMPLATE_HASH = PREFIX + "template-hash"
CONTAINER = PREFIX + "container"
RESTARTED = PREFIX + "restarted"
STORAGE_LIMIT = PREFIX + "storage-limit"
NETWORK_KIND = PREFIX + "kind"
NETWORK_INDEX = PREFIX + "index"

KIND_SHARED = "shared"
KIND_INSTANCE = "instance"

NAME_PREFIX = "chal-"
BRIDGE_PREFIX = "chal-"

# What dockerd admits as a name (moby, daemon/names: RestrictedNameChars).
_DOCKER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
# IFNAMSIZ is 16 with the closing NUL, which leaves this many characters beside the prefix.
_BRIDGE_DIGITS = 15 - len(BRIDGE_PREFIX)


@dataclass(frozen=True)
class Owner:
    """The instance, node and installation that something in the engine belongs to."""

    installation: str
    node: str
    uid: str
    namespace: str
    name: str
    template_hash: str
    restarted: str = ""
    """Which request to restart it the containers are made for; empty where there was none."""

    def labels(self, container: str | None = None) -> dict[str, str]:
        """Labels of this owner's network, or of the container of that name in its template."""
        labels = {
            INSTALLATION: self.installation,
            NODE: self.node,
            INSTANCE_UID: self.uid,
            INSTANCE_NAMESPACE: self.namespace,
            INSTANCE_NAME: self.name,
            TEMPLATE_HASH: self.template_hash,
        }
        if container is not None:
            labels[CONTAINER] = container
            if self.restarted:
                labels[RESTARTED] = self.restarted
        return labels


def container_name(uid: str, container: str) -> str:
    """The engine's name of an instance's container; always the same for the same two.

    Raises ValueError when they give no name that the engine admits.
    """
    return _checked(f"{NAME_PREFIX}{uid}-{container}")


def network_name(uid: str) -> str:
    """The engine's name of an instance's own network.

    Raises ValueError when the uid gives no name that the engine admits.
    """
    return _checked(f"{NAME_PREFIX}{uid}")


def volume_name(uid: str, volume: str) -> str:
    """The engine's name of an instance's volume; always the same for the same two.

    Raises ValueError when they give no name that the engine admits.
    """
    return _checked(f"{NAME_PREFIX}{uid}-{volume}")


def shared_network_name(installation: str, index: int) -> str:
    """The engine's name of a shared network; `index` counts an installation's from 0.

    Raises ValueError when the installation gives no name that the engine admits.
    """
    return _checked(f"{NAME_PREFIX}{installation}-shared-{index}")


def bridge_name(network: str) -> str:
    """The interface of that network on the host: a fixed prefix, so that one rule matches all."""
    return BRIDGE_PREFIX + hashlib.sha256(network.encode()).hexdigest()[:_BRIDGE_DIGITS]


def _checked(name: str) -> str:
    if not _DOCKER_NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name for a container, network or volume: "
            "expected letters, digits, '_', '.' and '-'"
        )
    return name
