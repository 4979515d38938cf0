"""Crashes leave things behind; the start and a look from time to time take them away, no others."""

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest
from prometheus_client.parser import text_string_to_metric_families

from controller.runtime import labels
from hack.bed.bed import Bed
from hack.bed.kubeconfig import Kubectl
from hack.bed.registry import Registry
from hack.bed.running import RunningController
from tests.faults import left
from tests.faults.worlds import QUICK, Start, Worlds
from tests.integration.registries import HeldDoor
from tests.integration.world import World, container, instance, until

METRICS_PORT = 19465
OFTEN = {"COLLECT_INTERVAL": "1", "LAUNCH_GRACE": "2", "SPARE_NETWORKS": "0"}
"""Short times, in seconds, and no network that is kept clean for the next instance."""


def pair(image: str) -> list[dict[str, object]]:
    return [container(image, "front"), container(image, "back", ports=[])]


def again(begin: Worlds, world: World, **settings: str) -> World:
    """The controller once more, on the state that the last one has left."""
    made: World = begin(**(OFTEN | settings), STATE_DIR=str(world.controller.state_dir))
    made.state_dir = world.state_dir
    return made


def started(world: World) -> str:
    """What the start has put right, in its own words, once it is over."""
    until(lambda: "Start-up: " in world.controller.logs())
    # What the last process has told of its own start may still be there.
    condition = until(
        lambda: world.node_condition("Reconciled"),
        lambda seen: (
            seen.get("status") == "True"
            and f"Start-up: {seen['message']}\n" in world.controller.logs()
        ),
    )
    assert condition["reason"] == "Reconciled"
    return str(condition["message"])


def as_they_are(world: World) -> dict[str, tuple[str, str]]:
    """Id and start of every container of the installation: another one, if it was touched."""
    with world.docker() as client:
        found = [client.inspect_container(each["Id"]) for each in world.containers()]
    return {each["Name"]: (each["Id"], each["State"]["StartedAt"]) for each in found}


def of(world: World, name: str, seen: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Those of one instance."""
    prefix = "/" + labels.name_prefix(world.get(name)["metadata"]["uid"])
    return {container: what for container, what in seen.items() if container.startswith(prefix)}


def told_of_the_node(world: World) -> str:
    """The Events about the node, one a line."""
    selector = "involvedObject.kind=ChallengeNode,reason=Collected"
    out = world.kubectl("get", "events", "-A", "--field-selector", selector, "-o", "json").stdout
    return "\n".join(event["message"] for event in json.loads(out)["items"])


def collected(world: World) -> dict[str, float]:
    """What was collected, by kind, as the metrics have it."""
    url = f"http://{world.bed.node(1).address}:{METRICS_PORT}/metrics"
    with urllib.request.urlopen(url, timeout=30) as answer:
        text = answer.read().decode()
    return {
        sample.labels["kind"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "challenge_collected_total" and sample.value
    }


def killed_and_back(running: RunningController) -> None:
    """Once more, until it has put everything right."""
    running.kill()
    running.start_again()
    until(lambda: running.logs().count("Start-up: ") == 2)


@contextmanager
def foreign_things(world: World, image: str) -> Iterator[left.Things]:
    """Things that are not ours, which must outlive everything."""
    with world.docker() as client:
        made = left.foreign(client, image, world.bed.state.name, world.bed.node(1).name)
        try:
            yield made
        finally:
            left.remove(client, made)


def assert_there(client: docker.APIClient, things: left.Things) -> None:
    seen = left.there(client)
    assert things.containers <= seen.containers
    assert things.networks <= seen.networks
    assert things.volumes <= seen.volumes


def test_what_nobody_owns_is_taken_away_and_nothing_else_is(
    begin: Worlds, bed: Bed, echo_image: str
) -> None:
    world = begin(**OFTEN, METRICS_PORT=str(METRICS_PORT), METRICS_ADDRESS=bed.node(1).address)
    world.apply(instance("stays", *pair(echo_image)))
    world.wait("Ready")
    before, version = as_they_are(world), world.versions()
    with world.docker() as client, foreign_things(world, echo_image) as others:
        mine = [left.owner(bed.state.name, bed.node(1).name) for _ in range(4)]
        # Whole before anybody looks: half of it would be taken away in the middle of its making.
        world.controller.freeze()
        try:
            network = left.own_network(client, mine[0], "10.213.255.0/27")
            left.of_an_instance(client, echo_image, mine[0], network=network)
            left.volume(client, mine[1])
            left.folder(world, mine[2])
            left.row(world, mine[3].uid)
            with left.ledger(world) as book:
                book.add_slot("w", ("x",), namespace="t", challenge="c", template="h", now=1)
        finally:
            world.controller.thaw()
        ours = {f"/{name}" for name in others.containers} | set(before)
        until(lambda: {name for each in world.containers() for name in each["Names"]} <= ours)
        until(lambda: set(world.rows()) == {"stays"} and not world.folders())
        until(lambda: network not in world.networks() and len(world.volumes()) == 3)
        until(lambda: world.ports_held() == 2)
        assert_there(client, others)
    assert as_they_are(world) == before
    assert world.versions() == version, "not even its status was written"
    told = f"nowhere/nobody (uid {mine[0].uid}), which this node does not have: 1 con"
    # One more of them when a look was in its middle when they were made.
    until(
        lambda: told_of_the_node(world),
        lambda text: told in text and text.count("nobody") >= len(mine),
    )
    wanted = {
        "container": 1,
        "network": 1,
        "volume": 1,
        "folder": 1,
        "row": 1,
        "port": 2,
        "slot": 1,
    }
    until(lambda: collected(world), lambda counted: counted == wanted)


def test_a_killed_agent_adopts_what_runs_and_puts_the_rest_right(
    begin: Worlds, bed: Bed, echo_image: str
) -> None:
    world = begin(**OFTEN)
    world.apply(
        instance("runs", container(echo_image)),
        instance("unbooked", *pair(echo_image)),
        instance("half", *pair(echo_image)),
    )
    world.wait("Ready")
    before, versions = as_they_are(world), world.versions()
    ports = world.get("unbooked")["status"]["ports"]
    world.controller.kill()
    whose = left.owner(bed.state.name, bed.node(1).name)
    uid = {name: world.get(name)["metadata"]["uid"] for name in ("unbooked", "half")}
    with world.docker() as client:
        left.of_an_instance(client, echo_image, whose)
        # As in the middle of a launch: one container made, none started.
        client.remove_container(labels.container_name(uid["half"], "back"), force=True)
        client.kill(labels.container_name(uid["half"], "front"))
    with left.ledger(world) as book:
        book.release(uid["unbooked"], now=1)
        book.begin_attempt(uid["half"], now=1)
    left.row(world, "row-of-nobody")
    new = again(begin, world)
    said = started(new)
    assert said.startswith("1 adopted, 1 orphan torn down, 1 released, 1 reserved again")
    until(lambda: new.events("half"), lambda told: "LaunchCrashed" in told)
    new.wait("Ready")
    after = as_they_are(new)
    for name in ("runs", "unbooked"):
        assert of(new, name, after) == of(new, name, before), "not touched"
        assert new.versions()[name] == versions[name], "its status was not written"
    assert not set(of(new, "half", after).values()) & set(before.values()), "launched afresh"
    assert new.rows()["unbooked"].ports == {port["name"]: port["hostPort"] for port in ports}
    until(lambda: new.events("unbooked"), lambda told: "ReservedAgain" in told)
    for name in ("runs", "unbooked", "half"):
        new.answers(name)
    assert labels.container_name(whose.uid, "echo") not in {name[1:] for name in after}
    assert set(new.rows()) == {"runs", "unbooked", "half"}


@pytest.fixture
def door(bed: Bed, echo_image: str, tmp_path: Path) -> Iterator[HeldDoor]:
    """A registry with the image ctf/slow:1, which can be held in the middle of a layer."""
    registry = Registry(bed, "registry")
    registry.start()
    made = HeldDoor(registry, tmp_path)
    try:
        registry.push(echo_image, "ctf/slow", megabytes=2)
        yield made
    finally:
        made.close()
        registry.stop()


@pytest.mark.slow
def test_neither_a_queue_nor_a_slow_pull_nor_an_outage_is_a_crashed_launch(
    begin: Worlds, bed: Bed, echo_image: str, door: HeldDoor
) -> None:
    world = begin(**OFTEN, CONCURRENT_LAUNCHES="1")
    names = [f"i{n}" for n in range(16)]
    with door.held():
        world.apply(
            instance("slow", container(f"{door.address}/ctf/slow:1")),
            *(instance(name, container(echo_image)) for name in names),
        )
        world.wait_reason("slow", "PullingImage")
        bed.control_plane.stop_apiserver()
        try:
            # Nothing announces that nothing happens: the outage itself is what is tested.
            assert not world.controller.wait(6)
        finally:
            bed.control_plane.start_apiserver()
        world.wait("Ready", *names)
        seen = as_they_are(world)
        assert world.condition("slow")["reason"] == "PullingImage"
        held = world.rows()["slow"].ports
        assert not world.controller.wait(3), "and some looks later"
        assert as_they_are(world) == seen
        assert world.rows()["slow"].ports == held
    world.wait("Ready", "slow")
    assert world.rows()["slow"].ports == held
    for name in (*names, "slow"):
        assert "LaunchCrashed" not in world.events(name)


@pytest.mark.slow
def test_two_installations_share_an_engine_and_leave_each_other_alone(
    begin: Worlds, controller: Start, kubectl: Kubectl, namespace: str, bed: Bed, echo_image: str
) -> None:
    elsewhere = f"{namespace}-other"
    kubectl("create", "namespace", elsewhere)
    kubectl("create", "namespace", f"{elsewhere}-system")
    other = controller(
        **(QUICK | OFTEN),
        INSTALLATION="other",
        NODE_NAME="other-node",
        NAMESPACES=elsewhere,
        CONTROLLER_NAMESPACE=f"{elsewhere}-system",
        PORTS="31000-31099",
        SHARED_SUBNETS="10.220.0.0/22",
        INSTANCE_SUBNETS="10.221.0.0/24",
    )
    world = begin(**OFTEN, NAMESPACES=namespace)
    second = World(bed, kubectl, elsewhere, other)
    try:
        world.apply(instance("ours", *pair(echo_image), nodeName="node-1"))
        second.apply(instance("theirs", *pair(echo_image), nodeName="other-node"))
        world.wait("Ready")
        second.wait("Ready")
        with world.docker() as client:
            seen = left.there(client)
            killed_and_back(world.controller)
            killed_and_back(other)
            # Some looks of both.
            assert not other.wait(3)
            assert left.there(client) == seen
        world.answers("ours")
        second.answers("theirs")
    finally:
        second.delete()
    assert set(second.rows()) == set()
    world.answers("ours")
    # Managers count it among those that are silent from now on.
    other.stop()
    kubectl("delete", "chnode", "other-node")


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.3, 0.8, 1.6, 2.6])
def test_launches_that_a_kill_cut_off_long_ago_start_afresh(
    begin: Worlds, echo_image: str, after: float
) -> None:
    world = begin(**OFTEN)
    world.bed.wait_for_controller(world.controller.name)
    names = [f"i{n}" for n in range(6)]
    world.apply(*(instance(name, *pair(echo_image)) for name in names))
    assert not world.controller.wait(after), "it ended by itself"
    world.controller.kill()
    time.sleep(2.1)  # the grace of a launch: all that were under way have crashed
    new = again(begin, world)
    new.wait("Ready")
    for name in names:
        new.answers(name)
    assert len(new.containers()) == 2 * len(names)
    held = {port for row in new.rows().values() for port in row.ports.values()}
    assert len(held) == new.ports_held() == 2 * len(names)
