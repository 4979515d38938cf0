"""How a node comes to be known: its ChallengeNode, and the labels that it has from the start.

The operator's spec and labels are never written over.
"""

import logging
import platform
import socket
from typing import Final

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
    """The node's ChallengeNode, made if there is none, ``cordoned`` then; raises ApiError."""
    name, labels = settings.node_name, own_labels() | settings.labels
    try:
        read = await cluster.get(NODES, name)
    except NotFound:
        spec = {"unschedulable": True} if cordoned else {}
        body = {"metadata": {"name": name, "labels": labels}, "spec": spec}
        return await cluster.create(NODES, body)
    present = read["metadata"].get("labels") or {}
    for key, value in settings.labels.items():
        if present.get(key, value) != value:
            logger.warning(
                "ChallengeNode %s has the label %s=%s, CHALLENGE_NODE_LABELS says %s: it is left "
                "as it is; to change it, kubectl label chnode %s %s=%s --overwrite",
                *(name, key, present[key], value, name, key, value),
            )
    missing = {key: value for key, value in labels.items() if key not in present}
    return await _add(cluster, read, missing) if missing else read


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
