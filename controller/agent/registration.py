"""How a node comes to be known: its ChallengeNode, and the labels that it has from the start.

The operator's spec and labels are never written over, nor is another installation's node.
"""

import logging
import platform
import socket
from typing import Final

from controller.agent.identity import IdentityMismatch
from controller.api import labels as own
from controller.cluster.client import NODES, Cluster, Object
from controller.cluster.errors import Conflict, Forbidden, Invalid, NotFound
from controller.settings import Settings

logger = logging.getLogger(__name__)

ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
"""Go's names, which Kubernetes uses, for those of uname(2); the others are the same."""


def own_labels() -> dict[str, str]:
    """What a kubelet labels its Node with."""
    machine = platform.machine()
    return {
        "kubernetes.io/hostname": socket.gethostname().lower()[:63],
        "kubernetes.io/arch": ARCHITECTURES.get(machine, machine),
        "kubernetes.io/os": platform.system().lower(),
    }


async def register(cluster: Cluster, settings: Settings, *, cordoned: bool) -> Object:
    """The node's ChallengeNode, made if there is none, ``cordoned`` then.

    Raises ApiError, and IdentityMismatch when it is another installation's.
    """
    name, labels = settings.node_name, own_labels() | settings.labels
    labels[own.INSTALLATION] = settings.installation
    try:
        read = await cluster.get(NODES, name)
    except NotFound:
        spec = {"unschedulable": True} if cordoned else {}
        body = {"metadata": {"name": name, "labels": labels}, "spec": spec}
        return await cluster.create(NODES, body)
    present = read["metadata"].get("labels") or {}
    _refuse_if_of_another(name, present, settings.installation)
    for key, value in settings.labels.items():
        if present.get(key, value) != value:
            logger.warning(
                "ChallengeNode %s has the label %s=%s, CHALLENGE_NODE_LABELS says %s: it is left "
                "as it is; to change it, kubectl label chnode %s %s=%s --overwrite",
                *(name, key, present[key], value, name, key, value),
            )
    missing = {key: value for key, value in labels.items() if key not in present}
    return await _add(cluster, read, missing) if missing else read


def _refuse_if_of_another(name: str, present: dict[str, str], installation: str) -> None:
    whose = own.installation(present)
    if whose != installation:
        raise IdentityMismatch(
            f"ChallengeNode {name} is of the installation {whose!r}, but this agent is of "
            f"{installation!r} (CHALLENGE_INSTALLATION), and each has nodes of its own. Give this "
            "one another name (CHALLENGE_NODE_NAME, or leave it unset); or, if the node is this "
            f"installation's, kubectl label chnode {name} {own.INSTALLATION}={installation} "
            "--overwrite"
        )


async def _add(cluster: Cluster, read: Object, missing: dict[str, str]) -> Object:
    """Label a node that was made by somebody else, or by an agent with fewer labels."""
    meta = read["metadata"]
    patch = {"metadata": {"labels": missing, "resourceVersion": meta["resourceVersion"]}}
    try:
        return await cluster.merge(NODES, meta["name"], patch)
    except Conflict:
        return read  # changed this very moment; the next start makes it good
    except (Forbidden, Invalid):  # by its role, or by an admission policy
        words = " ".join(f"{key}={value}" for key, value in missing.items())
        logger.warning(
            "This agent may not label its ChallengeNode; to have its labels, "
            "kubectl label chnode %s %s",
            meta["name"],
            words,
        )
        return read
