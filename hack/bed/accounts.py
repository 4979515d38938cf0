"""The rights of agents and managers in a bed, and kubeconfigs with no more than these.

As in production, an agent's token is bound to a pod on its node. There is no kubelet in a bed: Node
and pod are objects in the API server, and the token's file is written here.
"""

import json
from pathlib import Path

from hack.bed.cache import REPOSITORY
from hack.bed.certificates import write_private
from hack.bed.cluster import NAMESPACE
from hack.bed.controlplane import ControlPlane
from hack.bed.kubeconfig import Kubectl, write_token_kubeconfig

RIGHTS = REPOSITORY / "charts" / "challenge-controller" / "rights"
AGENT = "challenge-agent"
MANAGER = "challenge-manager"
LIFETIME = "24h"
"""A bed's tokens outlast its tests; a kubelet would replace one after 48 minutes."""


def grant(kubectl: Kubectl) -> None:
    """Make the accounts and their roles, and lay down the admission policies."""
    kubectl("apply", "--server-side", "--force-conflicts", "--filename", RIGHTS)


def agent_kubeconfig(plane: ControlPlane, kubectl: Kubectl, name: str, node: str) -> Path:
    """The kubeconfig of an agent in the pod `name` on a node; made the first time it is asked for.

    Its token is in a file beside it, `NAME.token`.
    """
    path = plane.state.folder / f"{name}.kubeconfig"
    if not path.exists():
        renew_agent_token(plane, kubectl, name, node)
        _write(plane, path, name)
    return path


def renew_agent_token(plane: ControlPlane, kubectl: Kubectl, name: str, node: str) -> None:
    """Put an agent's pod in the place of the one before, which ends that one's token.

    The new token is in the file of the old one when this returns.
    """
    pod = ("--namespace", NAMESPACE, f"pod/{name}")
    # Nothing but a kubelet would ever say that the pod's containers have ended.
    kubectl("delete", *pod, "--ignore-not-found", "--force", "--grace-period=0")
    kubectl("apply", "--server-side", "--filename=-", input=_node_and_pod(name, node))
    uid = kubectl("get", *pod, "--output=jsonpath={.metadata.uid}").stdout
    bound = ("--bound-object-kind=Pod", f"--bound-object-name={name}", f"--bound-object-uid={uid}")
    _write_token(plane, kubectl, name, AGENT, *bound)


def manager_kubeconfig(plane: ControlPlane, kubectl: Kubectl) -> Path:
    """The kubeconfig that all managers share."""
    path = plane.state.folder / "manager.kubeconfig"
    if not path.exists():
        _write_token(plane, kubectl, "manager", MANAGER)
        _write(plane, path, "manager")
    return path


def _node_and_pod(name: str, node: str) -> str:
    # What a node has not said itself does not matter here: nothing runs on it but by our agents.
    spec = {
        "nodeName": node,
        "serviceAccountName": AGENT,
        "containers": [{"name": "agent", "image": "challenge-controller"}],
    }
    items = [
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": spec,
        },
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def _write_token(
    plane: ControlPlane, kubectl: Kubectl, name: str, account: str, *words: str
) -> None:
    token = kubectl(
        *("create", "token", account, "--namespace", NAMESPACE, f"--duration={LIFETIME}"), *words
    ).stdout
    # Whole or not at all, as a kubelet does it.
    fresh = plane.state.folder / f"{name}.token.new"
    write_private(fresh, token.encode())
    fresh.replace(plane.state.folder / f"{name}.token")


def _write(plane: ControlPlane, path: Path, name: str) -> None:
    write_token_kubeconfig(
        path,
        name="challenge-bed",
        server=plane.server,
        authority=plane.authority,
        token_file=plane.state.folder / f"{name}.token",
    )
