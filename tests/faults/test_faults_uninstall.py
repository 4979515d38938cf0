"""docs/uninstall.md is run, line by line: nothing is left in the cluster or on the host."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.runtime import labels, rules
from hack.bed import cluster
from hack.bed.bed import Bed
from hack.bed.cache import REPOSITORY
from hack.bed.cluster import NAMESPACE
from hack.bed.kubeconfig import Kubectl
from hack.bed.processes import run
from hack.bed.programs import find_kubectl
from hack.bed.report import Report
from tests.faults.worlds import Start
from tests.integration.test_pools import challenge, pool
from tests.integration.world import World, container, instance, until

pytestmark = pytest.mark.usefixtures("own_engine")

PAGE = REPOSITORY / "docs" / "uninstall.md"
SETTINGS = {"PREPARED_NETWORKS": "1", "MANAGER_LEASE_DURATION": "5", "BACKOFF_MAXIMUM": "2"}


@pytest.fixture
def world(
    bed: Bed, kubectl: Kubectl, namespace: str, controller: Start, echo_image: str
) -> Iterator[World]:
    """A controller that keeps a spare network; the definitions are there again at the end."""
    made = World(bed, kubectl, namespace, controller(**SETTINGS))
    yield made
    made.controller.stop()
    cluster.prepare(kubectl)


class Page:
    """The commands of the page, by the heading or the bold words that they stand below."""

    def __init__(self, world: World, folder: Path) -> None:
        program = folder / "challenge-controller"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m controller "$@"\n')
        program.chmod(0o755)
        kubectl = find_kubectl(Report())
        self._world = world
        self._env = os.environ | {
            "PATH": f"{folder}:{Path(kubectl).parent}:{os.environ['PATH']}:/usr/sbin:/sbin",
            "PYTHONPATH": str(REPOSITORY),
            "KUBECONFIG": str(world.bed.kubeconfig),
            "KUBECACHEDIR": str(folder / "cache"),
            "DOCKER_HOST": world.bed.docker_host,
            "CHALLENGE_INSTALLATION": world.bed.state.name,
            "CHALLENGE_STATE_DIR": str(world.state_dir),
        }

    def run(self, words: str) -> None:
        """Run what stands below these words, up to the next heading or step."""
        _, _, below = PAGE.read_text().partition(words)
        section = re.split(r"\n(?:## |\*\*\d\.)", below)[0]
        scripts = re.findall(r"```console\n\$ (.*?)```", section, re.DOTALL)
        assert scripts, words
        for script in scripts:
            self._run(self._of_this_bed(script.replace("\n$ ", "\n")))

    def _of_this_bed(self, script: str) -> str:
        name, folder = self._world.bed.state.name, str(self._world.state_dir)
        script = script.replace(f"{labels.INSTALLATION}=default", f"{labels.INSTALLATION}={name}")
        return script.replace("/var/lib/challenge-controller", folder)

    def _run(self, script: str) -> None:
        enter = f"--net=/run/netns/{self._world.bed.node().engine.namespace}"
        command = ["nsenter", enter, "bash", "-euo", "pipefail", "-c", script]
        if "kubectl" in script:  # the API server is not to be reached from the node's side
            command = command[2:]
        done = subprocess.run(
            command, cwd=REPOSITORY, env=self._env, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"


def assert_gone(world: World) -> None:
    """Nothing of the installation is left on the host or in the cluster."""
    mark = {"label": f"{labels.INSTALLATION}={world.bed.state.name}"}
    with world.docker() as client:
        assert client.containers(all=True, filters=mark) == []
        assert client.networks(filters=mark) == []
        assert not client.volumes()["Volumes"]
    chains = set(rules.names(world.bed.state.name).values())
    namespace = f"--net=/run/netns/{world.bed.node().engine.namespace}"
    for program in ("iptables-save", "ip6tables-save"):
        saved = run("nsenter", namespace, program).stdout
        assert [line for line in saved.splitlines() if chains & set(line.split())] == []
    assert not world.state_dir.exists()
    left = world.kubectl("get", "crd", "-o", "name").stdout
    assert "challenge-controller.io" not in left
    assert world.kubectl("get", "lease", "-n", NAMESPACE, "-o", "name").stdout == ""


def fill(world: World, image: str) -> None:
    """A pool's instances, one alone, one of two containers with a volume, one at rest."""
    pair = [
        container(image, "front", volumeMounts=[{"name": "v", "mountPath": "/v"}]),
        container(image, "back", ports=[]),
    ]
    volumes = {"volumes": [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]}
    world.apply(
        challenge(image),
        pool(seeds=["1"], replicas=2),
        instance("alone", container(image)),
        instance("pair", *pair, template=volumes),
        instance("rests", container(image), suspended=True),
    )
    world.wait("jsonpath={.status.conditions[?(@.type=='Suspended')].status}=True", "rests")
    world.wait("Ready", "alone", "pair")
    ready = ("--for=condition=Ready", "--timeout=90s")
    world.kubectl("wait", "chpool/web", *ready, "-n", world.namespace, timeout=120)


@pytest.mark.slow
def test_nothing_is_left_of_what_is_uninstalled_in_order(
    world: World, echo_image: str, tmp_path: Path
) -> None:
    page = Page(world, tmp_path)
    fill(world, echo_image)
    page.run("**1. Delete pools")
    left = world.kubectl("get", "chpool,chinst,chal", "-A", "-o", "name").stdout
    assert left == ""
    until(world.networks)  # the spare one, which stays
    world.controller.stop()
    assert "Traceback" not in world.controller.logs()
    page.run("**3. On each host**")
    page.run("**4. In the cluster**")
    assert_gone(world)


@pytest.mark.slow
def test_nothing_is_left_either_when_the_agents_went_first(
    world: World, echo_image: str, tmp_path: Path
) -> None:
    page = Page(world, tmp_path)
    fill(world, echo_image)
    world.controller.stop()
    page.run("## The agents went first")
    assert world.kubectl("get", "chpool,chinst,chal", "-A", "-o", "name").stdout == ""
    page.run("**3. On each host**")
    page.run("**4. In the cluster**")
    assert_gone(world)
