"""Names and labels that say whose a container or a network is.

Responsible for the label keys and for the names derived from an instance's uid. Both are an
interface to engines in the field: an agent of a later version finds what an earlier one made by
them, so a key or a pattern that was released is not to be changed. It must not talk to the engine.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from ipaddress import IPv4Network

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
NETWORK_EGRESS = PREFIX + "egress"

KIND_SHARED = "shared"
KIND_INSTANCE = "instance"
EGRESS_NONE = "None"
EGRESS_INTERNET = "Internet"

NAME_PREFIX = "chal-"
BRIDGE_PREFIX = "chal-"

# What dockerd admits as a name (moby, daemon/names: RestrictedNameChars).
_DOCKER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
# A bridge's name tells the firewall whose it is and what its packets may do: the prefix, three
# digits of the installation, one of the letters below, six digits of the network's name. IFNAMSIZ
# is 16 with the closing NUL, so that is all there is room for.
_INSTALLATION_DIGITS = 3
_NETWORK_DIGITS = 6
_LETTERS = {
    (KIND_SHARED, EGRESS_NONE): "s",
    (KIND_SHARED, EGRESS_INTERNET): "t",
    (KIND_INSTANCE, EGRESS_NONE): "n",
    (KIND_INSTANCE, EGRESS_INTERNET): "i",
}


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


def name_prefix(uid: str) -> str:
    """How the engine's names of an instance's containers and volumes begin.

    Raises ValueError when the uid gives no name that the engine admits.
    """
    return _checked(f"{NAME_PREFIX}{uid}")


def own_network_name(installation: str, subnet: IPv4Network, egress: str = EGRESS_NONE) -> str:
    """The engine's name of a network that one instance has to itself, as long as it has the subnet.

    Raises ValueError when the installation gives no name that the engine admits.
    """
    word = "own-internet" if egress == EGRESS_INTERNET else "own"
    return _checked(f"{NAME_PREFIX}{installation}-{word}-{subnet.network_address}")


def volume_name(uid: str, volume: str) -> str:
    """The engine's name of an instance's volume; always the same for the same two.

    Raises ValueError when they give no name that the engine admits.
    """
    return _checked(f"{NAME_PREFIX}{uid}-{volume}")


def shared_network_name(installation: str, index: int, egress: str = EGRESS_NONE) -> str:
    """The engine's name of a shared network; `index` counts those of one egress from 0.

    Raises ValueError when the installation gives no name that the engine admits.
    """
    word = "internet" if egress == EGRESS_INTERNET else "shared"
    return _checked(f"{NAME_PREFIX}{installation}-{word}-{index}")


def bridges(installation: str) -> str:
    """How the names of all bridges of an installation on the host begin."""
    return BRIDGE_PREFIX + _digits(installation, _INSTALLATION_DIGITS)


def bridges_of(installation: str, kind: str, egress: str) -> str:
    """How the names of its bridges of one kind begin, so that one rule matches them all."""
    return bridges(installation) + _LETTERS[kind, egress]


def bridge_name(installation: str, kind: str, egress: str, network: str) -> str:
    """The interface of that network on the host."""
    return bridges_of(installation, kind, egress) + _digits(network, _NETWORK_DIGITS)


def _digits(text: str, count: int) -> str:
    """As many of a-z and 2-7, 5 bits each."""
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:count]


def _checked(name: str) -> str:
    if not _DOCKER_NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name for a container, network or volume: "
            "expected letters, digits, '_', '.' and '-'"
        )
    return name
