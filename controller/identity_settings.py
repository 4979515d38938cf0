"""The settings of which installation a process is of, and which node an agent serves.

A part of ``Settings``, which is what the rest of the controller is handed. It must not read
anything but the environment and the flags handed in, and the host's name.
"""

import re
import socket
from pathlib import Path
from typing import Any, Final

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from controller.api.labels import DEFAULT_INSTALLATION
from controller.api.values import DNS_LABEL, DNS_SUBDOMAIN

INSTALLATION_LENGTH: Final = 40
NODE_NAME_LENGTH: Final = 253 - len("node-")
"""Characters of a node's name at most: its Lease's name has a prefix."""
STATE_DIR: Final = Path("/var/lib/challenge-controller")


class IdentitySettings(BaseSettings):
    """Who a process is; each field is also ``CHALLENGE_<NAME>``.

    The order counts: the name of the node and the state folder follow from what is before them.
    """

    installation: str = Field(
        DEFAULT_INSTALLATION,
        description="Name of this installation: lower-case letters, digits and '-', 40 at most. "
        "Two of them can share a cluster, with namespaces of their own, and an engine.",
    )
    host_node: str = Field(
        "",
        description="Name of the cluster's Node that this host is, as spec.nodeName of the agent's "
        "pod has it (default: the host name).",
    )
    node_name: str = Field(
        default_factory=lambda data: _node_name(data),
        description="Name of this node, and of its ChallengeNode (default: CHALLENGE_HOST_NODE, "
        "followed by .INSTALLATION unless CHALLENGE_INSTALLATION is default).",
    )
    state_dir: Path = Field(
        default_factory=lambda data: _state_dir(data),
        description="Folder of the node's ledger and lock file, and of the instances' volumes and "
        "flags; the engine must find it under the same path (default: "
        "/var/lib/challenge-controller, followed by -INSTALLATION unless CHALLENGE_INSTALLATION is "
        "default).",
    )

    @field_validator("installation")
    @classmethod
    def _installation(cls, value: str) -> str:
        # No dot: NODE.INSTALLATION could be another installation's node else.
        if len(value) > INSTALLATION_LENGTH or not re.fullmatch(DNS_LABEL, value):
            raise ValueError(
                "expected lower-case letters, digits and '-' within, such as exam-2, "
                f"{INSTALLATION_LENGTH} characters at most: names of nodes end with it"
            )
        return value

    @field_validator("host_node", "node_name")
    @classmethod
    def _node(cls, value: str, info: Any) -> str:
        if not value and info.field_name == "host_node":
            return value
        if len(value) > NODE_NAME_LENGTH or not re.fullmatch(DNS_SUBDOMAIN, value):
            raise ValueError(
                "expected the name of a node: lower-case letters, digits, '-' and '.' within, such "
                f"as worker-1, {NODE_NAME_LENGTH} characters at most"
            )
        return value


def _node_name(before: dict[str, Any]) -> str:
    """The node's name unless one is set; ``before`` are the settings above it."""
    host = before["host_node"] or socket.gethostname().lower()
    return host + _suffix(before["installation"], ".")


def _state_dir(before: dict[str, Any]) -> Path:
    """The state folder unless one is set: never within another installation's."""
    return state_dir(before["installation"])


def state_dir(installation: str) -> Path:
    """Where an agent of the installation keeps its state unless it is told another folder."""
    return STATE_DIR.with_name(STATE_DIR.name + _suffix(installation, "-"))


def _suffix(installation: str, mark: str) -> str:
    return "" if installation == DEFAULT_INSTALLATION else mark + installation
