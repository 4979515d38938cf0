"""`challenge-controller uninstall` as a chart's hook runs it: with an account of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from hack.bed.bed import Bed
from hack.bed.cache import REPOSITORY
from hack.bed.certificates import write_private
from hack.bed.kubeconfig import write_token_kubeconfig
from tests.integration.world import Object

GROUP = "challenge-controller.io"
RULES = {
    "pools-and-instances": (GROUP, ["challengepools", "challengeinstances"], ["list", "delete"]),
    "nodes": (GROUP, ["challengenodes"], ["list", "patch", "delete"]),
    "leases": ("coordination.k8s.io", ["leases"], ["delete"]),
}
"""All that it may do: the first in the namespaces served, the last in the controller's."""


def kubeconfig(bed: Bed, served: str, system: str, folder: Path) -> Path:
    """The kubeconfig of an account that may uninstall what serves one namespace, and no more."""
    name = f"uninstall-{served}"
    items: list[Object] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta(name, system)}
    ]
    subject = {"kind": "ServiceAccount", "name": name, "namespace": system}
    for word, place in (("pools-and-instances", served), ("nodes", ""), ("leases", system)):
        group, resources, verbs = RULES[word]
        rule = {"apiGroups": [group], "resources": resources, "verbs": verbs}
        meta, kind = _meta(f"{name}-{word}", place), "Role" if place else "ClusterRole"
        api = "rbac.authorization.k8s.io"
        items += [
            {"apiVersion": f"{api}/v1", "kind": kind, "metadata": meta, "rules": [rule]},
            {
                "apiVersion": f"{api}/v1",
                "kind": f"{kind}Binding",
                "metadata": meta,
                "roleRef": {"apiGroup": api, "kind": kind, "name": meta["name"]},
                "subjects": [subject],
            },
        ]
    listed = {"apiVersion": "v1", "kind": "List", "items": items}
    bed.kubectl("apply", "-f", "-", input=json.dumps(listed))
    token = bed.kubectl("create", "token", name, "--namespace", system).stdout
    write_private(folder / f"{name}.token", token.encode())
    path, plane = folder / f"{name}.kubeconfig", bed.control_plane
    write_token_kubeconfig(
        path,
        name="challenge-bed",
        server=plane.server,
        authority=plane.authority,
        token_file=folder / f"{name}.token",
    )
    return path


def uninstall(
    kubeconfig: Path, timeout: str = "120s", **settings: str
) -> "subprocess.CompletedProcess[str]":
    """Run the command with these CHALLENGE_* settings."""
    env: Mapping[str, str] = {f"CHALLENGE_{key}": value for key, value in settings.items()}
    done = subprocess.run(
        [sys.executable, "-m", "controller", "uninstall", "--timeout", timeout],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), **env}
        | {"CHALLENGE_KUBECONFIG": str(kubeconfig)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    print(done.stdout, done.stderr)
    assert "Traceback" not in done.stdout + done.stderr
    return done


def _meta(name: str, namespace: str) -> dict[str, str]:
    return {"name": name} | ({"namespace": namespace} if namespace else {})
