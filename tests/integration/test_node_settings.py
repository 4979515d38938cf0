"""A node as its operator sees and tunes it while instances run, on a real engine."""

import json
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest

from hack.bed.bed import Bed
from hack.bed.cluster import NAMESPACE
from hack.bed.running import RunningController
from tests.integration.world import World, container, instance, until

NODE = "node-1"
LEASE = 10
"""Seconds after which a silent node counts as lost; more than a busy machine stalls."""
ENV = {
    "CHALLENGE_PORTS": "10000-10019",
    "CHALLENGE_NODE_LEASE_DURATION": str(LEASE),
    "CHALLENGE_NODE_LABELS": "example.org/disk=ssd",
    "CHALLENGE_BACKOFF_INITIAL": "0.2",
}


@pytest.fixture(scope="module")
def running(bed: Bed, echo_image: str) -> Iterator[RunningController]:
    """One controller for all tests of this module, with few ports."""
    controller = RunningController.start(bed, "node-settings", env=ENV)
    bed.wait_for_controller("node-settings")
    yield controller
    controller.stop()


@pytest.fixture(autouse=True)
def untuned(world: World) -> Iterator[None]:
    """Every test begins and ends with a node of which its operator has said nothing."""
    yield
    tune(world, None)


def tune(world: World, spec: dict[str, Any] | None) -> None:
    """Set fields of the node's spec, or take all of them away, and wait until it is seen."""
    patch = json.dumps([{"op": "replace", "path": "/spec", "value": spec or {}}])
    world.kubectl("patch", "chnode", NODE, "--type=json", "-p", patch)
    until(
        lambda: node(world),
        lambda seen: seen["status"]["observedGeneration"] == seen["metadata"]["generation"],
    )


def node(world: World) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(world.kubectl("get", "chnode", NODE, "-o", "json").stdout)
    return found


def ports(world: World, name: str) -> set[int]:
    return {port["hostPort"] for port in world.get(name)["status"]["ports"]}


def test_the_range_of_ports_is_changed_while_instances_run(world: World, echo_image: str) -> None:
    names = ["old-0", "old-1"]
    world.apply(*(instance(name, container(echo_image)) for name in names))
    world.wait("Ready", *names)
    before = {name: ports(world, name) for name in names}
    ids = {c["Id"] for c in world.containers()}

    tune(world, {"portRange": "20000-20003"})
    assert node(world)["status"]["portRange"] == "20000-20003"
    world.apply(*(instance(f"new-{n}", container(echo_image)) for n in range(2)))
    world.wait("Ready", "new-0", "new-1")
    assert ports(world, "new-0") | ports(world, "new-1") == {20000, 20001, 20002, 20003}
    assert {name: ports(world, name) for name in names} == before
    assert ids <= {c["Id"] for c in world.containers()}
    for name in (*names, "new-0"):
        world.answers(name)

    world.apply(instance("third", container(echo_image)))
    world.wait_reason("third", "PortsExhausted")
    world.delete("old-0")
    until(lambda: node(world)["status"]["capacity"]["ports"], lambda n: n == 2 + 4)
    assert world.ports_held() == 2 + 4, "what was outside is nobody's any more"
    assert world.condition("third")["reason"] == "PortsExhausted"

    tune(world, {"portRange": "20000-20005"})
    world.wait("Ready", "third")
    assert ports(world, "third") == {20004, 20005}
    tune(world, None)
    assert node(world)["status"]["portRange"] == "10000-10019"
    world.apply(instance("back", container(echo_image)))
    world.wait("Ready", "back")
    assert ports(world, "back") <= set(range(10000, 10020)) - before["old-1"]
    world.answers("new-1")
    assert world.problems() == []


def test_an_operators_range_is_in_force_again_before_anything_is_launched(
    world: World, echo_image: str
) -> None:
    tune(world, {"portRange": "20000-20009"})
    world.controller.stop()
    said = world.controller.logs().count("are in force")
    world.apply(instance("early", container(echo_image)))
    world.controller = RunningController.start(world.bed, world.controller.name, env=ENV)
    world.wait("Ready", "early")
    assert ports(world, "early") <= set(range(20000, 20010))
    assert world.controller.logs().count("are in force") == said, "the ledger had it all the time"


def test_another_public_address_shows_on_what_runs(world: World, echo_image: str) -> None:
    world.apply(instance("shown", container(echo_image)))
    world.wait("Ready", "shown")
    before = world.get("shown")["status"]
    ids = [c["Id"] for c in world.containers()]
    tune(world, {"publicAddress": "ctf.example.org"})
    world.wait("jsonpath={.status.address}=ctf.example.org", "shown")
    after = world.get("shown")["status"]
    endpoints = [f"ctf.example.org:{port['hostPort']}" for port in before["ports"]]
    assert [port["endpoint"] for port in after["ports"]] == endpoints
    assert after["readyTime"] == before["readyTime"]
    assert [c["Id"] for c in world.containers()] == ids
    assert node(world)["status"]["address"] == "ctf.example.org"
    tune(world, None)
    world.wait(f"jsonpath={{.status.address}}={before['address']}", "shown")
    world.answers("shown")


def test_no_more_instances_than_the_operator_wants(world: World, echo_image: str) -> None:
    # Before the first: the manager, which learns of it by a watch, knows it once that is Ready.
    tune(world, {"maxInstances": 1})
    world.apply(instance("first", container(echo_image)))
    world.wait("Ready", "first")
    world.apply(instance("second", container(echo_image)))
    condition = world.wait_reason("second", "Unschedulable")
    assert condition["message"] == "0/1 nodes are available: 1 full"
    tune(world, {"maxInstances": 0})
    assert world.condition("first")["status"] == "True"
    tune(world, {"maxInstances": 2})
    world.wait("Ready", "second")


def test_kubectl_tells_at_a_glance_what_a_node_is_up_to(world: World, echo_image: str) -> None:
    half = {"limits": {"memory": "512Mi"}}
    pair = [
        container(echo_image, "front", resources=half),
        container(echo_image, "back", ports=[], resources=half),
    ]
    world.apply(instance("pair", *pair))
    world.wait("Ready", "pair")
    tune(world, {"maxInstances": 1, "portRange": "20000-20001", "unschedulable": True})
    # Two ports of its own outside of the range, and two free ones: none is short.
    cells = [NODE, "True", "Cordoned", "1/1", "2/4", "0+0"]
    header, _ = until(
        lambda: world.kubectl("get", "chnode", NODE).stdout.splitlines(),
        lambda shown: shown[1].split()[:6] == cells,
    )
    assert header.split() == [
        *("NAME", "READY", "REASON", "INSTANCES", "PORTS", "LAUNCHES", "PRESSURE", "ADDRESS"),
        *("VERSION", "AGE"),
    ]
    wide = world.kubectl("get", "chnode", NODE, "-o", "wide").stdout
    assert "1.0/" in wide, "two containers of 512Mi each"
    status = node(world)["status"]
    assert status["allocated"]["networks"] == 1
    assert status["allocated"]["memory"] == 2 * 512 * 2**20
    assert status["capacity"]["memory"] >= status["allocatable"]["memory"] > 2**28
    labels = node(world)["metadata"]["labels"]
    assert labels["example.org/disk"] == "ssd"
    assert labels["kubernetes.io/os"] == "linux"


def test_a_range_that_overlaps_others_is_taken_with_a_warning(world: World) -> None:
    tune(world, {"portRange": "29998-30001"})
    overlap = world.node_condition("PortRangeOverlap")
    assert overlap["status"] == "True"
    assert "30000-30001 are NodePorts" in overlap["message"]
    assert world.node_condition("Ready")["status"] == "True"
    assert "30000-30001 are NodePorts" in world.controller.logs()


@pytest.mark.parametrize("bad", ["10-5", "0-100", "1-65536", "10000", "a-b"])
def test_a_range_that_is_none_is_refused_by_the_api_server(world: World, bad: str) -> None:
    patch = json.dumps({"spec": {"portRange": bad}})
    refused = world.kubectl("patch", "chnode", NODE, "--type=merge", "-p", patch, check=False)
    assert refused.returncode != 0
    assert "portRange" in refused.stderr


def test_many_launches_are_few_writes_of_the_nodes_status(world: World, echo_image: str) -> None:
    began = time.monotonic()
    before = node_writes(world)
    world.apply(*(instance(f"i{n}", container(echo_image, ports=[])) for n in range(20)))
    world.wait("Ready")
    world.delete()
    until(lambda: node(world)["status"]["allocated"]["instances"], lambda n: n == 0)
    written = node_writes(world) - before
    assert written <= (time.monotonic() - began) / 10 + 1


def node_writes(world: World) -> int:
    """Status writes of ChallengeNodes that the API server has granted, by its own count."""
    wanted = ('resource="challengenodes"', 'subresource="status"', 'verb="PUT"', 'code="200"')
    lines = world.kubectl("get", "--raw", "/metrics").stdout.splitlines()
    found = [
        line
        for line in lines
        if line.startswith("apiserver_request_total{") and all(w in line for w in wanted)
    ]
    return sum(int(float(line.rpartition(" ")[2])) for line in found)


def test_an_engine_that_is_down_is_not_a_node_that_is_lost(world: World, bed: Bed) -> None:
    engine = bed.engine()
    engine.shut_down()
    try:
        until(lambda: ready(world), lambda seen: seen == ("False", "DockerUnavailable"))
        seen = {renewed(world)}
        began = time.monotonic()
        while time.monotonic() - began < 2 * LEASE:
            until(lambda: renewed(world), lambda now: now not in seen)
            seen.add(renewed(world))
            assert ready(world) == ("False", "DockerUnavailable")
    finally:
        engine.start()
    until(lambda: ready(world), lambda now: now == ("True", "Ready"))


def ready(world: World) -> tuple[str, str]:
    found = world.node_condition("Ready")
    return found.get("status", ""), found.get("reason", "")


def renewed(world: World) -> str:
    path = "-o=jsonpath={.spec.renewTime}"
    return world.kubectl("get", "lease", f"node-{NODE}", "-n", NAMESPACE, path).stdout


def test_a_node_deleted_while_its_agent_lives_comes_back_cordoned(
    world: World, echo_image: str
) -> None:
    world.apply(instance("stays", container(echo_image)))
    world.wait("Ready", "stays")
    ids = [c["Id"] for c in world.containers()]
    uid = node(world)["metadata"]["uid"]
    world.kubectl("delete", "chnode", NODE)
    until(
        lambda: world.kubectl("get", "chnode", NODE, "-o", "json", check=False).stdout,
        lambda out: bool(out) and json.loads(out)["metadata"]["uid"] != uid,
    )
    until(lambda: ready(world), lambda seen: seen == ("True", "Cordoned"))
    assert node(world)["spec"]["unschedulable"] is True
    assert node(world)["metadata"]["labels"]["example.org/disk"] == "ssd"
    world.apply(instance("waits", container(echo_image)))
    world.wait_reason("waits", "Unschedulable")
    until(lambda: world.condition("waits")["message"], lambda said: "1 cordoned" in said)
    assert [c["Id"] for c in world.containers()] == ids
    tune(world, None)
    world.wait("Ready", "waits")
    world.answers("stays")


def test_a_node_whose_disk_is_nearly_full_gets_nothing_new(world: World, echo_image: str) -> None:
    disk = shutil.disk_usage(world.state_dir)
    if disk.free > 0.9 * disk.total:
        pytest.skip("no reserve is so large that this disk would count as nearly full")
    world.apply(instance("stays", container(echo_image)))
    world.wait("Ready", "stays")
    name = world.controller.name
    world.controller.stop()
    full = ENV | {"CHALLENGE_DISK_RESERVE": "90"}
    world.controller = RunningController.start(world.bed, name, env=full)
    until(lambda: world.node_condition("DiskPressure"), lambda c: c["status"] == "True")
    until(lambda: ready(world), lambda seen: seen == ("True", "Ready"))
    world.apply(instance("waits", container(echo_image)))
    condition = world.wait_reason("waits", "Unschedulable")
    assert condition["message"] == "0/1 nodes are available: 1 under disk pressure"
    assert "Disk" in world.kubectl("get", "chnode", NODE).stdout.splitlines()[1].split()
    world.answers("stays")
    world.controller.stop()
    world.controller = RunningController.start(world.bed, name, env=ENV)
    world.wait("Ready", "waits")


def test_a_ledger_that_cannot_be_used_stops_launches_until_it_can(
    world: World, echo_image: str
) -> None:
    file = world.state_dir / "ledger.db"
    file.rename(file.with_suffix(".away"))
    try:
        world.apply(instance("patient", container(echo_image), nodeName=NODE))
        until(lambda: ready(world), lambda seen: seen == ("False", "LedgerUnavailable"))
        message = world.node_condition("LedgerHealthy")["message"]
        assert str(file) in message
        assert "put it back" in message
    finally:
        file.with_suffix(".away").rename(file)
    until(lambda: ready(world), lambda seen: seen == ("True", "Ready"))
    world.wait("Ready", "patient")
    world.answers("patient")
