"""A release of the chart, as a platform engineer has it, and what runs of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hack.bed.bed import Bed
from hack.bed.helm import Helm
from hack.bed.processes import by_pid, command_line, every_pid
from tests.integration.world import until

Object = dict[str, Any]
PATIENCE = "--timeout=300s"
LONGER = 330.0
"""Seconds for a kubectl that is that patient."""
CLUSTER_KINDS = (
    "clusterroles",
    "clusterrolebindings",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "customresourcedefinitions",
    "priorityclasses",
)
STAYS = (
    "configmap/kube-root-ca.crt",
    "serviceaccount/default",
    "lease.coordination.k8s.io/challenge-manager",
)
AGENT = "app.kubernetes.io/component=agent"


@dataclass
class Release:
    """One release; `values` are those of this node, without which nothing could run here."""

    bed: Bed
    helm: Helm
    name: str
    namespace: str
    values: Mapping[str, Any]

    @property
    def installation(self) -> str:
        """What its agents and managers call themselves."""
        return str(self.values["installation"])

    def install(self, chart: Path, *words: str) -> None:
        """Install it and wait until its pods are ready; its namespace is made."""
        self._apply("install", chart, "--create-namespace", *words)

    def upgrade(self, chart: Path, *words: str) -> None:
        """Upgrade it, with other values (`--set`), and wait until its pods are ready."""
        self._apply("upgrade", chart, *words)

    def rollback(self, revision: int) -> None:
        """Go back to a revision, and wait until its pods are ready."""
        self.helm("rollback", self.name, str(revision), "-n", self.namespace, "--wait", PATIENCE)

    def test(self) -> str:
        """Run the chart's own tests; returns what they said."""
        words = ("test", self.name, "-n", self.namespace, PATIENCE)
        return self.helm(*words).stdout

    def uninstall(self) -> None:
        """Uninstall it; returns when its pods have ended too, for which Helm does not wait."""
        self.helm("uninstall", self.name, "-n", self.namespace, "--wait", PATIENCE)
        marks = f"app.kubernetes.io/instance={self.name}"
        words = ("wait", "pod", "-n", self.namespace, "-l", marks, "--for=delete")
        self.bed.kubectl(*words, PATIENCE, timeout=LONGER)

    def exists(self) -> bool:
        """Whether Helm knows of it, in whatever state."""
        listed = self.helm("list", "--all", "-n", self.namespace, "-o", "json").stdout
        return self.name in {each["name"] for each in json.loads(listed)}

    def revision(self) -> int:
        """The number of the revision that is deployed."""
        shown = self.helm("status", self.name, "-n", self.namespace, "-o", "json").stdout
        return int(json.loads(shown)["version"])

    def pods(self, *, component: str = "") -> list[Object]:
        """The pods of the release that are not being deleted, or those of one component."""
        marks = f"app.kubernetes.io/instance={self.name}"
        if component:
            marks += f",app.kubernetes.io/component={component}"
        words = ("get", "pods", "-n", self.namespace, "-l", marks, "-o", "json")
        found = json.loads(self.bed.kubectl(*words).stdout)["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def agent_uid(self) -> str:
        """The uid of the agent's pod on the node."""
        (pod,) = self.pods(component="agent")
        uid: str = pod["metadata"]["uid"]
        return uid

    def agent_environment(self) -> dict[str, str]:
        """The variables of the agent that runs, as its pod names them."""
        (pod,) = self.pods(component="agent")
        env = pod["spec"]["containers"][0]["env"]
        return {each["name"]: each.get("value", "") for each in env}

    def cluster_objects(self) -> list[str]:
        """The names of its objects that are in no namespace."""
        kinds = ",".join(CLUSTER_KINDS)
        marks = f"app.kubernetes.io/instance={self.name}"
        listed = self.bed.kubectl("get", kinds, "-o", "name").stdout.split()
        named = [each for each in listed if f"/{self.name}-" in each]
        return named + self.bed.kubectl("get", kinds, "-l", marks, "-o", "name").stdout.split()

    def namespaced_objects(self) -> list[str]:
        """What is in its namespace but for Events and what is put there while it goes, or always.

        Managers give up their Lease when they end, after Helm's hooks; it holds up nothing.
        """
        words = ("api-resources", "--namespaced", "--verbs=list", "-o", "name")
        kinds = set(self.bed.kubectl(*words).stdout.split())
        wanted = ",".join(sorted(kinds - {"events", "events.events.k8s.io"}))
        listed = self.bed.kubectl("get", wanted, "-n", self.namespace, "-o", "name").stdout.split()
        return [each for each in listed if each not in STAYS]

    def state_files(self) -> list[str]:
        """What there is in the agent's folder on the node."""
        folder = Path(self.values["agent"]["stateDir"])
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))

    def kill_agent(self) -> None:
        """Kill the agent's program, as the kernel does when memory runs out."""
        state = str(self.values["agent"]["stateDir"])
        (pid,) = [pid for pid in every_pid() if _is_agent(pid, state)]
        process = by_pid(pid, "agent")
        assert process is not None
        process.kill()

    def delete_agent(self) -> None:
        """Delete the agent's pod; another one takes its place."""
        self.bed.kubectl("delete", "pod", "-n", self.namespace, "-l", self._agent())

    def wait_for_agent(self, *, after: str = "") -> None:
        """Wait until the agent's pod is ready, and another one than that of the uid `after`."""

        def others() -> list[Object]:
            pods = self.pods(component="agent")
            return [pod for pod in pods if pod["metadata"]["uid"] != after]

        # The pod itself: the DaemonSet's own count is late when a pod has been deleted.
        (pod,) = until(others)
        words = ("wait", "pod", pod["metadata"]["name"], "-n", self.namespace)
        self.bed.kubectl(*words, "--for=condition=Ready", PATIENCE, timeout=LONGER)

    def restarts(self) -> int:
        """How often the kubelet has started the agent's program again."""
        (pod,) = self.pods(component="agent")
        (status,) = pod["status"]["containerStatuses"]
        return int(status["restartCount"])

    def tell(self) -> None:
        """Print what there is: pytest shows it with a test that failed."""
        kubectl = self.bed.kubectl
        print(kubectl("get", "all,events", "-n", self.namespace, check=False).stdout)
        marks = f"app.kubernetes.io/instance={self.name}"
        for pod in self.pods():
            name = pod["metadata"]["name"]
            for words in ((), ("--previous",)):
                said = kubectl("logs", name, "-n", self.namespace, "--tail=80", *words, check=False)
                print(f"== {name} {' '.join(words)} ({marks})\n{said.stdout}")

    def _agent(self) -> str:
        return f"app.kubernetes.io/instance={self.name},{AGENT}"

    def _apply(self, verb: str, chart: Path, *words: str) -> None:
        self.helm(
            verb, self.name, chart, "-n", self.namespace, "--wait", PATIENCE, *words,
            "--values", "-", input=yaml.safe_dump(dict(self.values)),
        )  # fmt: skip


def _is_agent(pid: int, state_dir: str) -> bool:
    """Whether a process is the agent of this state folder itself, not the init before it."""
    words = command_line(pid)
    if words[-1:] != ["agent"] or "tini" in words[0]:
        return False
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return False
    return f"CHALLENGE_STATE_DIR={state_dir}\0" in environment
