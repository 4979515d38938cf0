"""How a controller of a bed is started: its settings, where it runs, and when it serves."""

import json
import os
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from hack.bed.cache import REPOSITORY
from hack.bed.cluster import NAMESPACE
from hack.bed.errors import BedError
from hack.bed.kubeconfig import Kubectl
from hack.bed.packages import PATH
from hack.bed.processes import Process, spawn
from hack.bed.state import BedState, NodeState

MANAGER_LEASE = "challenge-manager"
PROGRAM = "controller"
"""The module that is `challenge-controller`."""
SERVING_TIMEOUT = 90.0
"""Seconds from its start until a controller serves, on a machine that is busy with more."""


def spawn_controller(
    state: BedState,
    node: NodeState | None,
    kubeconfig: Path,
    name: str,
    role: str,
    env: Mapping[str, str],
    *,
    module: str = PROGRAM,
) -> Process:
    """Start a role of `challenge-controller` on a node, or on this machine when there is none.

    `env` wins over the bed's settings.
    """
    settings = {**settings_of(state, node, kubeconfig, name), **env}
    Path(settings["CHALLENGE_STATE_DIR"]).mkdir(parents=True, exist_ok=True, mode=0o700)
    return spawn(
        name,
        [sys.executable, "-m", module, role],
        log=state.folder / "logs" / f"{name}.log",
        env={
            "PATH": PATH,
            "HOME": str(state.folder),
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONUNBUFFERED": "1",
            **settings,
        },
        # It dials containers' own addresses, which only their host can.
        namespace=node.engine.namespace if node else None,
        dies_with_parent=state.temporary,
    )


def wait_until_serving(
    kubectl: Kubectl, node: str | None, process: Process, name: str, timeout: float
) -> None:
    """Wait until the process serves the node, or acts as the manager (None).

    Raises BedError with its last log lines when it ends, or takes longer than `timeout` s.
    """
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and process.alive():
        if _is_serving(kubectl, node, since=process.begin):
            return
        process.wait(0.2)
    raise BedError(f"{name} does not come up; its last lines:\n{process.log_tail()}")


def _is_serving(kubectl: Kubectl, node: str | None, *, since: datetime) -> bool:
    """Whether a node is Ready and its agent lives, or, without a node, whether a manager acts.

    Its Lease must have been renewed after `since`: what an agent that has ended had written does
    not count.
    """
    lease = _get(kubectl, "lease", f"node-{node}" if node else MANAGER_LEASE)
    renewed = lease.get("spec", {}).get("renewTime")
    if not renewed or datetime.fromisoformat(renewed) < since:
        return False
    if node is None:
        return bool(lease["spec"].get("holderIdentity"))
    conditions = _get(kubectl, "chnode", node).get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _get(kubectl: Kubectl, kind: str, name: str) -> dict[str, Any]:
    """An object, empty when there is none; one of our own namespace, or of none."""
    words = ("--namespace", NAMESPACE, "--output=json", "--ignore-not-found")
    text = kubectl("get", kind, name, *words, check=False).stdout
    found: dict[str, Any] = json.loads(text) if text else {}
    return found


def settings_of(
    state: BedState, node: NodeState | None, kubeconfig: Path, name: str
) -> dict[str, str]:
    """The environment of a controller of this name on a node, or on none."""
    common = {
        "CHALLENGE_KUBECONFIG": str(kubeconfig),
        "CHALLENGE_STATE_DIR": str(state.folder / "state" / name),
        "CHALLENGE_INSTALLATION": state.name,
        "CHALLENGE_CONTROLLER_NAMESPACE": NAMESPACE,
    }
    if node is None:
        return common
    # Below the cgroup of an engine of our own, which goes with it.
    cgroup = f"{node.engine.namespace}/challenges" if node.engine.namespace else "challenges"
    # The rules of the machine itself are its administrator's to change.
    guarded = node.engine.namespace is not None or os.geteuid() == 0
    return common | {
        "CHALLENGE_CGROUP_PARENT": cgroup,
        "CHALLENGE_FIREWALL": "on" if guarded else "off",
        "CHALLENGE_DOCKER_HOST": node.engine.url,
        "CHALLENGE_NODE_NAME": node.name,
        "CHALLENGE_PUBLIC_ADDRESS": node.address,
        "CHALLENGE_PORTS": node.ports,
        "CHALLENGE_SHARED_SUBNETS": node.shared_subnets,
        "CHALLENGE_INSTANCE_SUBNETS": node.instance_subnets,
    }
