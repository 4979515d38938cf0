"""A backup of etcd is restored, another cluster answers: no node is emptied by it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.api.conditions import ORPHANS_HELD
from hack.bed import cluster
from hack.bed.bed import Bed
from hack.bed.controlplane import ControlPlane
from hack.bed.instances import Endpoint, ask
from hack.bed.kubeconfig import Kubectl
from tests.faults.worlds import Worlds
from tests.integration.plugin import Plugin
from tests.integration.world import World, container, instance, until

NODE = "node-1"
SOON = {"RESYNC_INTERVAL": "3", "MANAGER_LEASE_DURATION": "60"}
"""Seconds: a comparison every 3, since a watch tells nothing of what has vanished; and a manager
that goes on over the outage with all that it has seen before."""


@pytest.fixture
def plane(bed: Bed) -> ControlPlane:
    return bed.control_plane


@pytest.fixture
def plugin(bed: Bed, tmp_path: Path) -> Plugin:
    return Plugin(bed.kubeconfig, tmp_path)


def many(prefix: str, image: str, number: int, **spec: Any) -> list[dict[str, Any]]:
    return [instance(f"{prefix}{n}", container(image), **spec) for n in range(number)]


def ids(world: World) -> dict[str, str]:
    """The containers that run, by their id, and when they were started."""
    with world.docker() as client:
        return {
            found["Id"]: client.inspect_container(found["Id"])["State"]["StartedAt"]
            for found in world.containers()
            if found["State"] in ("running", "paused")
        }


def held(world: World, value: str = "True") -> dict[str, Any]:
    """Wait for the node to say whether it holds any; the condition."""
    return until(
        lambda: world.node_condition(ORPHANS_HELD), lambda said: said.get("status") == value
    )


def told(world: World, name: str) -> set[int]:
    """The host ports that an instance's status tells."""
    return {port["hostPort"] for port in world.get(name)["status"]["ports"]}


def node_events(kubectl: Kubectl) -> list[str]:
    selector = f"involvedObject.name={NODE},involvedObject.kind=ChallengeNode"
    words = ("events", "-n", "default", "--field-selector", selector, "-o", "json")
    return [event["reason"] for event in json.loads(kubectl("get", *words).stdout)["items"]]


def all_answer(endpoints: list[Endpoint]) -> None:
    for endpoint in endpoints:
        ask(endpoint)


def test_what_a_restored_backup_does_not_have_runs_on_until_the_operator_confirms(
    begin: Worlds, plane: ControlPlane, plugin: Plugin, echo_image: str
) -> None:
    world = begin(**SOON)
    world.apply(*many("old", echo_image, 2))
    world.wait("Ready")
    backup = plane.save("before")
    world.apply(*many("new", echo_image, 8))
    world.wait("Ready")
    endpoints, running = world.endpoints(), ids(world)
    plane.restore(backup)
    said = held(world)
    assert said["reason"] == "OrphansHeld"
    assert "8 instances that run here have vanished" in said["message"]
    assert f"kubectl challenge confirm-orphans {NODE}" in said["message"]
    assert ids(world) == running, "none was restarted"
    all_answer(endpoints)
    assert set(world.rows()) == {e.instance for e in endpoints}, "their ports stay taken"

    # The node goes on with what there is: launches, renewals and deletions.
    world.apply(instance("after", container(echo_image)))
    world.wait("Ready", "after")
    taken = {endpoint.port for endpoint in endpoints}
    assert not taken & told(world, "after")
    world.delete("old0")
    until(world.rows, lambda rows: "old0" not in rows)

    done = plugin("confirm-orphans", NODE, "--yes")
    assert done.stdout.endswith(f"{NODE} orphans confirmed: 8 instances\n")
    until(world.rows, lambda rows: set(rows) == {"old1", "after"})
    until(world.containers, lambda found: len(found) == 2)
    held(world, "False")
    assert plugin("confirm-orphans", NODE).stdout.endswith(f"{NODE} holds no orphans\n")
    world.answers("old1")
    world.answers("after")


def test_what_a_restored_backup_brings_back_is_launched_again_or_ends(
    begin: Worlds, plane: ControlPlane, kubectl: Kubectl, echo_image: str
) -> None:
    """And few that it does not have are torn down at once."""
    world = begin(**SOON)
    world.apply(
        *many("stays", echo_image, 2),
        instance("back", container(echo_image), user="first"),
    )
    world.wait("Ready")
    # The last one before the backup, which has to come before its end.
    world.apply(instance("brief", container(echo_image), ttl="15s"))
    world.wait("Ready", "brief")
    backup = plane.save("before")
    patch = ("--type=merge", "-p", '{"spec":{"suspended":true}}')
    kubectl("patch", "chinst", "stays1", "-n", world.namespace, *patch)
    world.wait("Suspended", "stays1")
    world.delete("back")
    world.apply(*many("few", echo_image, 3))
    world.wait("Ready", "few0", "few1", "few2")
    world.wait("delete", "brief")
    before = ids(world)
    plane.restore(backup)
    until(world.rows, lambda rows: set(rows) == {"stays0", "stays1", "back"})
    until(world.containers, lambda found: len(found) == 3)
    # The restored status says Ready, on the ports that it had: it is true again with new ones.
    until(lambda: told(world, "back") == set(world.rows()["back"].ports.values()))
    until(lambda: world.running_containers("stays1"), lambda seen: seen == 1)
    world.wait("Ready", "stays0", "stays1", "back")
    for name in ("stays0", "stays1", "back"):
        assert world.answers(name)
    assert world.get("stays0")["status"]["containers"][0].get("restartCount", 0) == 0
    assert len(before.keys() & ids(world).keys()) == 2, "who was there runs on"
    world.wait("delete", "brief")  # its deadline had passed: the manager takes it away
    assert world.node_condition(ORPHANS_HELD)["status"] == "False"


@pytest.mark.slow
def test_a_hold_survives_its_agent_and_ends_with_its_time(
    begin: Worlds, plane: ControlPlane, kubectl: Kubectl, echo_image: str
) -> None:
    hold = SOON | {"ORPHAN_HOLD": "90"}
    world = begin(**hold)
    world.apply(*many("old", echo_image, 1))
    world.wait("Ready")
    backup = plane.save("before")
    world.apply(*many("new", echo_image, 6), instance("brief", container(echo_image), ttl="45s"))
    world.wait("Ready")
    endpoints, running = [e for e in world.endpoints() if e.instance != "brief"], ids(world)
    plane.restore(backup)
    held(world)
    until_when = orphans(world)["until"]
    # An Event that still waits for the API server's pause to end would go with the agent.
    until(lambda: node_events(kubectl), lambda seen: "OrphansHeld" in seen)
    world.controller.kill()
    again = begin(**hold, STATE_DIR=str(world.controller.state_dir))
    again.state_dir = world.state_dir
    again.controller.wait_until_serving()
    held(again)
    assert orphans(again)["until"] == until_when
    assert len(running.keys() & ids(again).keys()) >= 7
    all_answer(endpoints)
    # Its deadline ends one all the same; what is its own stays its own meanwhile.
    until(lambda: again.running_containers("brief"), lambda seen: seen == 0)
    assert set(again.rows()) == {e.instance for e in endpoints} | {"brief"}
    all_answer(endpoints)

    until(again.rows, lambda rows: set(rows) == {"old0"}, timeout=180)
    until(again.containers, lambda found: len(found) == 1)
    held(again, "False")
    again.answers("old0")
    until(lambda: node_events(kubectl), lambda seen: "OrphansRemoved" in seen)
    assert "OrphansHeld" in node_events(kubectl)
    assert "their time is up" in again.controller.logs()


def orphans(world: World) -> dict[str, Any]:
    out = world.kubectl("get", "chnode", NODE, "-o", "json").stdout
    found: dict[str, Any] = json.loads(out)["status"]["orphans"]
    return found


@pytest.mark.slow
def test_what_comes_back_is_held_no_more(
    begin: Worlds, plane: ControlPlane, echo_image: str
) -> None:
    """First the wrong backup was restored, then the right one."""
    world = begin(**SOON)
    world.apply(*many("old", echo_image, 1))
    world.wait("Ready")
    wrong = plane.save("wrong")
    world.apply(*many("new", echo_image, 7))
    world.wait("Ready")
    right, running, versions = plane.save("right"), ids(world), world.versions()
    plane.restore(wrong)
    held(world)
    plane.restore(right)
    held(world, "False")
    assert ids(world) == running
    assert world.versions() == versions, "nothing had to be written of them"
    for name in versions:
        world.answers(name)


@pytest.fixture
def elsewhere(bed: Bed, plane: ControlPlane, kubectl: Kubectl) -> Iterator[Callable[[], None]]:
    """`elsewhere()` has another cluster with our kinds answer; called again, the first one."""
    home: list[Path] = []

    def leave() -> None:
        if home:
            plane.restore(home.pop())
        else:
            home.append(plane.save("home"))
            plane.restore(None)
            cluster.prepare(kubectl)

    yield leave
    if home:
        leave()


@pytest.mark.slow
def test_another_cluster_at_the_same_address_empties_no_node(
    begin: Worlds, elsewhere: Callable[[], None], kubectl: Kubectl, echo_image: str
) -> None:
    world = begin(**SOON)
    world.apply(*many("mine", echo_image, 7), instance("brief", container(echo_image), ttl="60s"))
    world.wait("Ready")
    running, endpoints = ids(world), world.endpoints()
    elsewhere()
    until(world.controller.logs, lambda said: "This is another cluster" in said)
    assert ids(world) == running
    all_answer([e for e in endpoints if e.instance != "brief"])
    until(lambda: world.running_containers("brief"), lambda seen: seen == 0)
    assert set(world.rows()) == {e.instance for e in endpoints}
    # One that starts there is refused, and the agent that runs on still touches nothing.
    world.controller.stop()
    refused = begin(**SOON, STATE_DIR=str(world.controller.state_dir))
    refused.state_dir = world.state_dir
    world.tell()
    assert refused.controller.wait(90)
    assert "was made for cluster" in refused.controller.logs()
    assert len(ids(world)) == 7
    elsewhere()
    again = begin(**SOON, STATE_DIR=str(world.controller.state_dir))
    again.state_dir = world.state_dir
    again.controller.wait_until_serving()
    again.wait("delete", "brief")
    until(lambda: len(again.rows()), lambda seen: seen == 7)
    assert ids(again).keys() <= running.keys()
    all_answer([e for e in endpoints if e.instance != "brief"])


@pytest.mark.slow
def test_definitions_that_were_deleted_and_applied_again_are_served_again(
    begin: Worlds, kubectl: Kubectl, echo_image: str
) -> None:
    world = begin(**SOON)
    world.apply(*many("gone", echo_image, 3))
    world.wait("Ready")
    names = [f"crd/{name}" for name in cluster.definition_names()]
    kubectl("delete", *names, "--timeout=90s", timeout=120)
    try:
        until(world.rows, lambda rows: rows == {})
        until(world.containers, lambda found: found == [])
    finally:
        cluster.prepare(kubectl)
    # As any node whose ChallengeNode was deleted, it comes back cordoned.
    until(lambda: kubectl("get", "chnode", NODE, check=False).returncode, lambda code: code == 0)
    kubectl("patch", "chnode", NODE, "--type=merge", "-p", '{"spec":{"unschedulable":false}}')
    world.apply(instance("fresh", container(echo_image)))
    world.wait("Ready", "fresh")
    world.answers("fresh")
    assert world.controller.alive()
    assert "The API server does not serve" in world.controller.logs()
