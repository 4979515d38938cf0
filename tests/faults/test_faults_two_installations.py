"""Two installations on one engine and one API server, with the same ranges: strangers all the same.

Each has its own agent, manager, namespace, Leases and state; ports and subnets are of one range.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.runtime import labels, rules
from hack.bed.bed import Bed
from hack.bed.kubeconfig import Kubectl
from hack.bed.processes import run
from hack.bed.running import RunningController
from tests.faults.worlds import QUICK, Start
from tests.integration.world import Object, World, container, instance, until

pytestmark = pytest.mark.usefixtures("own_engine")

OTHER = "other"
LOST_AFTER = 12.0
"""Seconds after which a silent node of one's own would be said to be lost, and its instances
moved."""
SAME = {
    "PORTS": "10000-10015",
    "SHARED_SUBNETS": "10.212.0.0/21",
    "INSTANCE_SUBNETS": "10.213.0.0/24",
    "NODE_LEASE_DURATION": "10",
    "NODE_LOSS_TIMEOUT": "10",
    "COLLECT_INTERVAL": "1",
    "SPARE_NETWORKS": "1",
}


@dataclass
class Installation(World):
    """One of the two: what is its own, seen from outside."""

    name: str = ""
    node: str = ""

    def things(self) -> dict[str, str]:
        """Its containers and networks on the engine: their ids, and whether they run."""
        mark = {"label": f"{labels.INSTALLATION}={self.name}"}
        with self.docker() as client:
            found = {
                c["Names"][0]: f"{c['Id']} {c['State']}"
                for c in client.containers(all=True, filters=mark)
            }
            return found | {n["Name"]: n["Id"] for n in client.networks(filters=mark)}

    def remove_networks(self) -> None:
        """Take away what it keeps for its next instances, once it has none and has ended.

        An engine that another test starts on an empty disk would not know them.
        """
        with self.docker() as client:
            mark = {"label": f"{labels.INSTALLATION}={self.name}"}
            for each in client.networks(filters=mark):
                client.remove_network(each["Id"])

    def chains(self) -> list[str]:
        """Its rules in the kernel."""
        names = set(rules.names(self.name).values())
        enter = f"--net=/run/netns/{self.bed.node().engine.namespace}"
        saved = run("nsenter", enter, "iptables-save", "-t", "filter").stdout
        return [line for line in saved.splitlines() if names & set(line.split())]

    def chnode(self) -> Object:
        """Its ChallengeNode."""
        found: Object = json.loads(self.kubectl("get", "chnode", self.node, "-o", "json").stdout)
        return found

    def ready(self) -> tuple[str, str]:
        """What its node's Ready says."""
        said = [c for c in self.chnode()["status"]["conditions"] if c["type"] == "Ready"]
        return said[0]["status"], said[0]["reason"]

    def fill(self, image: str) -> None:
        """One alone, and two of several containers, with six ports in all."""
        back = container(image, "back", ports=[])
        self.apply(
            instance("alone", container(image)),
            *(instance(name, container(image, "front"), back) for name in ("pair", "more")),
        )
        self.wait("Ready")


Pair = tuple[Installation, Installation]


@pytest.fixture
def pair(
    bed: Bed, kubectl: Kubectl, namespace: str, controller: Start, echo_image: str
) -> Iterator[Pair]:
    """The bed's own installation and another one, both with instances."""
    elsewhere = f"{namespace}-b"
    kubectl("create", "namespace", elsewhere)
    kubectl("create", "namespace", f"{elsewhere}-system")
    first = controller(**QUICK, **SAME, NAMESPACES=namespace)
    second = controller(
        **QUICK,
        **SAME,
        INSTALLATION=OTHER,
        NODE_NAME=f"node-1.{OTHER}",
        NAMESPACES=elsewhere,
        CONTROLLER_NAMESPACE=f"{elsewhere}-system",
    )
    for running in (first, second):
        assert not running.wait(2), running.logs()
    made = (
        Installation(bed, kubectl, namespace, first, bed.state.name, "node-1"),
        Installation(bed, kubectl, elsewhere, second, OTHER, f"node-1.{OTHER}"),
    )
    try:
        for each in made:
            each.fill(echo_image)
        yield made
    finally:
        for each in made:
            each.tell()
    for each in made:
        if each.controller.alive():
            each.delete()
        assert "Traceback" not in each.controller.logs()
    for running in (first, second):
        running.stop()
    kubectl("delete", "chnode", "--all")


def stays(look: Callable[[], object], running: RunningController, seconds: float) -> None:
    """Look at something for a while: it stays as it is."""
    before, logged = look(), len(running.logs())
    assert not running.wait(seconds), running.logs()[logged:]
    assert look() == before


def again(installation: Installation) -> None:
    """Start its controller once more, and wait until it has put right what there was."""
    running = installation.controller
    starts = running.logs().count("Start-up: ")
    running.start_again()
    until(lambda: running.logs().count("Start-up: ") == starts + 1)


@pytest.mark.slow
def test_each_serves_its_own_with_the_same_ports_and_subnets(pair: Pair) -> None:
    first, second = pair
    held = [{p for row in each.rows().values() for p in row.ports.values()} for each in pair]
    assert [len(ports) for ports in held] == [6, 6]
    assert not held[0] & held[1]
    assert not first.things().keys() & second.things().keys()
    for each in pair:
        for name in ("alone", "pair", "more"):
            each.answers(name)
            assert "NetworkExhausted" not in each.events(name), "it took two launches"
        assert each.ready() == ("True", "Ready")
        assert {row.name for row in each.rows().values()} == {"alone", "pair", "more"}
        assert each.chnode()["metadata"]["labels"][labels.INSTALLATION] == each.name
        assert each.chnode()["status"]["namespaces"] == [each.namespace]
        assert "so does this one" not in each.controller.logs()
        assert each.chains()
    assert second.chnode()["status"]["controllerNamespace"] == f"{second.namespace}-system"


@pytest.mark.slow
def test_a_neighbour_that_is_stopped_killed_or_emptied_is_nobody_elses_business(
    pair: Pair,
) -> None:
    first, second = pair
    for mine, theirs in (pair, pair[::-1]):
        theirs.controller.stop()

        def seen(them: Installation = theirs) -> list[object]:
            return [them.things(), them.versions(), them.chnode(), them.chains()]

        stays(seen, mine.controller, 2 * LOST_AFTER)
        assert theirs.ready() == ("True", "Ready")
        again(theirs)
        before = theirs.things()
        mine.controller.kill()
        again(mine)
        assert theirs.things() == before
    kept = [second.things(), second.chains()]
    first.delete()
    assert first.rows() == {}
    stays(lambda: [second.things(), second.chains()], second.controller, 3)
    assert [second.things(), second.chains()] == kept
    for name in ("alone", "pair", "more"):
        second.answers(name)


@pytest.mark.slow
def test_an_agent_with_the_node_name_of_another_installation_is_refused(
    pair: Pair, controller: Start, tmp_path: Path
) -> None:
    first, second = pair
    third = controller("agent", INSTALLATION="third", STATE_DIR=str(tmp_path), NODE_NAME="node-1")
    assert third.wait(90), "it serves"
    said = third.logs()
    assert "Traceback" not in said
    assert f"ChallengeNode node-1 is of the installation '{first.name}'" in said
    for each in (first, second):
        assert each.ready() == ("True", "Ready")
