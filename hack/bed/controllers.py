"""How the controller is started on a node of a bed: its settings, and where it runs."""

import json
import os
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from hack.bed.cache import REPOSITORY
from hack.bed.cluster import NAMESPACE
from hack.bed.kubeconfig import Kubectl
from hack.bed.packages import PATH
from hack.bed.processes import Process, spawn
from hack.bed.state import BedState, NodeState


def spawn_controller(
    state: BedState,
    node: NodeState,
    kubeconfig: Path,
    name: str,
    role: str,
    env: Mapping[str, str],
) -> Process:
    """Start a role of `challenge-controller` on a node; `env` wins over the bed's settings."""
    settings = {**_settings(state, node, kubeconfig, name), **env}
    Path(settings["CHALLENGE_STATE_DIR"]).mkdir(parents=True, exist_ok=True, mode=0o700)
    return spawn(
        name,
        [sys.executable, "-m", "controller", role],
        log=state.folder / "logs" / f"{name}.log",
        env={
            "PATH": PATH,
            "HOME": str(state.folder),
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONUNBUFFERED": "1",
            **settings,
        },
        # It dials containers' own addresses, which only their host can.
        namespace=node.engine.namespace,
        dies_with_parent=state.temporary,
    )


def node_is_ready(kubectl: Kubectl, node: str, *, since: datetime) -> bool:
    """Whether a node is Ready, and says so itself: the Lease was renewed after `since`.

    Without the second, what an agent that has ended had written would count.
    """
    found = kubectl(
        "get", "chnode", node, "--output=json", "--ignore-not-found", check=False
    ).stdout
    lease = kubectl(
        *("get", "lease", f"node-{node}", "--namespace", NAMESPACE),
        *("--output=jsonpath={.spec.renewTime}", "--ignore-not-found"),
        check=False,
    ).stdout
    if not found or not lease or datetime.fromisoformat(lease) < since:
        return False
    conditions = json.loads(found).get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _settings(state: BedState, node: NodeState, kubeconfig: Path, name: str) -> dict[str, str]:
    # Below the cgroup of an engine of our own, which goes with it.
    cgroup = f"{node.engine.namespace}/challenges" if node.engine.namespace else "challenges"
    # The rules of the machine itself are its administrator's to change.
    guarded = node.engine.namespace is not None or os.geteuid() == 0
    return {
        "CHALLENGE_CGROUP_PARENT": cgroup,
        "CHALLENGE_FIREWALL": "on" if guarded else "off",
        "CHALLENGE_KUBECONFIG": str(kubeconfig),
        "CHALLENGE_DOCKER_HOST": node.engine.url,
        "CHALLENGE_STATE_DIR": str(state.folder / "state" / name),
        "CHALLENGE_NODE_NAME": node.name,
        "CHALLENGE_PUBLIC_ADDRESS": node.address,
        "CHALLENGE_PORTS": node.ports,
        "CHALLENGE_SHARED_SUBNETS": node.shared_subnets,
        "CHALLENGE_INSTANCE_SUBNETS": node.instance_subnets,
        "CHALLENGE_INSTALLATION": state.name,
        "CHALLENGE_CONTROLLER_NAMESPACE": NAMESPACE,
    }
