"""A pipeline in small: a Git repository on disk, and what brings a namespace to what it says.

A round is what Flux and Argo CD do: take the newest commit, tell the drift, apply server-side (over
what others have written to the same fields, as both do) and prune by what was applied before
(kubectl's ApplySet), wait by kstatus.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from controller.api.crd import KINDS
from controller.api.meta import GROUP
from hack.bed.gitops import Verdict, kstatus
from hack.bed.kubeconfig import Kubectl
from hack.bed.processes import run
from hack.bed.report import Report
from tests.integration.gitops.states import Object

PART_OF = "applyset.kubernetes.io/part-of"
ID = "applyset.kubernetes.io/id"
PARENT = "applyset"
"""The Secret that kubectl keeps its inventory in; the tool's own, without a value."""
OURS = ",".join(f"{kind.model.PLURAL}.{GROUP}" for kind in KINDS if kind.model.NAMESPACED)
"""With their group: `challenges` alone is the category of all four."""

DIFF = {"KUBECTL_EXTERNAL_DIFF": str(Path(__file__).with_name("without-status"))}
"""The environment in which `kubectl diff` tells of no status."""


class Repository:
    """A Git repository with one manifest a file."""

    def __init__(self, folder: Path) -> None:
        """Make an empty one in the folder."""
        self.folder = folder
        folder.mkdir()
        self._git("init", "--quiet", "--initial-branch=main")

    def commit(self, message: str, files: dict[str, Object | None]) -> None:
        """Write, or remove (None), files of these names and commit them."""
        for name, manifest in files.items():
            path = self.folder / f"{name}.yaml"
            if manifest is None:
                path.unlink()
            else:
                path.write_text(yaml.safe_dump(manifest))
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", message)

    def newest(self) -> list[Object]:
        """The manifests of the newest commit, whatever lies in the work tree."""
        names = self._git("ls-tree", "--name-only", "HEAD").splitlines()
        return [yaml.safe_load(self._git("show", f"HEAD:{name}")) for name in names]

    def _git(self, *words: str) -> str:
        who = ("-c", "user.name=test", "-c", "user.email=test@example.invalid")
        return run("git", "-C", self.folder, *who, *words).stdout


@dataclass
class Pipeline:
    """Brings one namespace to what the repository says, round by round."""

    repository: Repository
    kubectl: Kubectl
    namespace: str

    def drift(self) -> str:
        """What differs from the newest commit, as a person would be shown it; empty: nothing.

        Something must have been applied before. ApplySet labels what it applies, and takes no
        manifest that has the label, so it is put in here alone.
        """
        labels = {PART_OF: self._id()}
        rendered = [
            {**manifest, "metadata": {**manifest["metadata"], "labels": labels}}
            for manifest in self.repository.newest()
        ]
        text = yaml.safe_dump_all(rendered)
        done = self.kubectl("diff", *self._flags(), input=text, check=False, env=DIFF)
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    def sync(self) -> None:
        """Apply the newest commit, and remove what was applied before and is in it no more."""
        flags = ("--prune", f"--applyset=secret/{PARENT}", *self._flags())
        text = yaml.safe_dump_all(self.repository.newest())
        self.kubectl("apply", *flags, input=text, env={"KUBECTL_APPLYSET": "true"})

    def wait(self, timeout: float = 180.0) -> list[Verdict]:
        """Wait until all is Current, by kstatus; raises TimeoutError, or AssertionError for Failed.

        What is still Terminating, pruned or not, is waited for as well.
        """
        deadline = time.monotonic() + timeout
        while True:
            bodies = self.live()
            verdicts = kstatus(bodies, Report())
            said = {body["metadata"]["name"]: v for body, v in zip(bodies, verdicts, strict=True)}
            failed = {name: v for name, v in said.items() if v.status == "Failed"}
            assert failed == {}
            wanted = {manifest["metadata"]["name"] for manifest in self.repository.newest()}
            if said.keys() == wanted and {v.status for v in said.values()} <= {"Current"}:
                return verdicts
            if time.monotonic() > deadline:
                raise TimeoutError(f"wanted {sorted(wanted)}, found {said}")
            time.sleep(0.1)

    def live(self) -> list[Object]:
        """Everything of our kinds in the namespace."""
        out = self.kubectl("get", OURS, "-n", self.namespace, "-o", "json").stdout
        items: list[Object] = json.loads(out)["items"]
        return items

    def round(self) -> str:
        """Sync and wait; returns the drift that there was before."""
        found = self.drift()
        self.sync()
        self.wait()
        return found

    def _id(self) -> str:
        """By which label the tool knows its own again, once it has applied something."""
        where = ("secret", PARENT, "-n", self.namespace, "-o", "json")
        labels: dict[str, str] = json.loads(self.kubectl("get", *where).stdout)["metadata"][
            "labels"
        ]
        return labels[ID]

    def _flags(self) -> tuple[str, ...]:
        how = ("--server-side", "--force-conflicts", "--field-manager=pipeline")
        return (*how, "-n", self.namespace, "-f", "-")
