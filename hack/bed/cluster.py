"""What a cluster needs before the controller can work in it: our kinds and our namespace."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from hack.bed.cache import REPOSITORY
from hack.bed.errors import BedError
from hack.bed.kubeconfig import Kubectl
from hack.bed.state import ClusterState

NAMESPACE = "challenge-system"
DEFINITIONS = REPOSITORY / "crds"
SERVED_TIMEOUT = 60.0
# By their full names: `challenges` alone is the category of all four kinds, nodes included.
PLURALS = ",".join(
    f"{plural}.challenge-controller.io"
    for plural in ("challengeinstances", "challengepools", "challenges")
)
KINDS = f"{PLURALS},challengenodes.challenge-controller.io"


@dataclass(frozen=True)
class Missing:
    """What of ours a cluster does not have."""

    definitions: list[str]
    namespace: bool


def missing(kubectl: Kubectl) -> Missing:
    """Which of our definitions a cluster lacks, and whether it lacks the controller's namespace."""
    listed = kubectl("get", "crd", "--output=name").stdout.split()
    there = {line.rpartition("/")[2] for line in listed}
    namespace = kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "--output=name").stdout
    return Missing([name for name in definition_names() if name not in there], not namespace)


def prepare(kubectl: Kubectl) -> None:
    """Apply the custom resource definitions and make the controller's namespace.

    Raises BedError when the API server refuses one, or does not serve it within a minute.
    """
    names = definition_names()
    if not names:
        raise BedError(f"{DEFINITIONS} holds no custom resource definitions; run hack/generate")
    manifest = json.dumps(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    )
    kubectl("apply", "--server-side", "--filename=-", input=manifest)
    kubectl("apply", "--server-side", "--force-conflicts", "--filename", DEFINITIONS)
    wanted = [f"crd/{name}" for name in names]
    kubectl("wait", "--for=condition=Established", "--timeout=60s", *wanted)
    # An established kind still answers 429, "storage is (re)initializing", for a second or so.
    deadline = time.monotonic() + SERVED_TIMEOUT
    while (done := kubectl("get", KINDS, "--all-namespaces", check=False)).returncode != 0:
        if time.monotonic() > deadline:
            raise BedError(f"the API server does not serve our kinds: {done.stderr.strip()}")
        time.sleep(0.1)


def leave(kubectl: Kubectl, made: ClusterState) -> None:
    """Take away from somebody else's cluster what a bed has made in it."""
    if made.made_definitions:
        names = [f"crd/{name}" for name in made.made_definitions]
        kubectl("delete", "--ignore-not-found", "--timeout=90s", *names, check=False)
    if made.made_namespace:
        name = f"namespace/{NAMESPACE}"
        kubectl("delete", "--ignore-not-found", "--timeout=60s", name, check=False)


def definition_names() -> list[str]:
    """The names of the definitions in crds/."""
    return [_name(path) for path in sorted(DEFINITIONS.glob("*.yaml"))]


def _name(path: Path) -> str:
    name: str = yaml.safe_load(path.read_text())["metadata"]["name"]
    return name
