"""Life after the launch, whole: containers that die, engines that go, what operators ask for."""

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

import hack.bed.engine
from controller.runtime import labels
from hack.bed.bed import Bed
from hack.bed.running import RunningController
from tests.integration.commands import exit_code
from tests.integration.test_main_job import engine_events, most_at_once, told
from tests.integration.world import World, container, instance, until

METRICS_PORT = 19464
SETTINGS = {
    "BACKOFF_INITIAL": "0.2",
    "BACKOFF_MAXIMUM": "2",
    "METRICS_PORT": str(METRICS_PORT),
}
PROBE = {"httpGet": {"port": "http"}, "periodSeconds": 1, "failureThreshold": 1}


def start(bed: Bed, name: str, **settings: str) -> RunningController:
    env = {f"CHALLENGE_{key}": value for key, value in (SETTINGS | settings).items()}
    controller = RunningController.start(bed, name, env=env)
    bed.wait_for_controller(name)
    return controller


@pytest.fixture(scope="module")
def running(bed: Bed, echo_image: str) -> Iterator[RunningController]:
    """One controller for all tests of this module."""
    controller = start(bed, "life")
    yield controller
    controller.stop()


def patch(world: World, name: str, text: str) -> None:
    world.kubectl("patch", "chinst", name, "-n", world.namespace, "--type=merge", "-p", text)


def signal(world: World, name: str, number: str) -> None:
    (found,) = [c for c in world.containers() if c["Labels"][labels.INSTANCE_NAME] == name]
    with world.docker() as client:
        client.kill(found["Id"], number)


def restarts(world: World, name: str) -> list[int]:
    return [c.get("restartCount", 0) for c in world.get(name)["status"]["containers"]]


def ids(world: World, name: str) -> set[str]:
    mine = [c for c in world.containers() if c["Labels"][labels.INSTANCE_NAME] == name]
    return {c["Id"] for c in mine}


def in_the_nodes_network(world: World, code: str, *args: str) -> str:
    command = [sys.executable, "-c", code, *args]
    if namespace := world.bed.node().engine.namespace:
        command = ["nsenter", f"--net=/run/netns/{namespace}", *command]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_ready_falls_with_the_probe_and_with_the_container_and_comes_back(
    world: World, echo_image: str
) -> None:
    world.apply(instance("falls", container(echo_image, readinessProbe=PROBE)))
    world.wait("Ready", "falls")
    signal(world, "falls", "SIGSTOP")
    condition = world.wait_reason("falls", "ProbeFailing")
    assert "no answer within 1 s" in condition["message"]
    signal(world, "falls", "SIGCONT")
    world.wait("Ready", "falls")
    assert restarts(world, "falls") == [0]
    ports = world.get("falls")["status"]["ports"]
    for count in (1, 2):  # the first restart comes at once, the second after a pause
        signal(world, "falls", "SIGKILL")
        path = '{.status.containers[?(@.name=="echo")].restartCount}'
        world.wait(f"jsonpath={path}={count}", "falls")
        world.wait("Ready", "falls")
    assert world.get("falls")["status"]["ports"] == ports
    assert world.get("falls")["status"]["containers"][0]["exitCode"] == 137


def test_what_the_engine_ends_costs_no_restart_and_comes_back_on_its_ports(
    world: World, bed: Bed, echo_image: str
) -> None:
    """In good order, as when it is upgraded; that it crashes is tried with the other faults."""
    pair = [container(echo_image, "front"), container(echo_image, "back", ports=[])]
    world.apply(
        instance("always", *pair),
        instance("never", container(echo_image), template={"restartPolicy": "Never"}),
    )
    world.wait("Ready")
    before = {name: world.get(name)["status"]["ports"] for name in ("always", "never")}
    bed.engine().shut_down()
    bed.engine().start()
    until(lambda: world.running_containers("always"), lambda seen: seen == 2)
    until(lambda: world.running_containers("never"), lambda seen: seen == 1)
    world.wait("Ready")
    assert restarts(world, "always") == [0, 0]
    assert restarts(world, "never") == [0]
    assert before == {name: world.get(name)["status"]["ports"] for name in before}
    for name in before:
        world.answers_again(name)


def test_an_engine_that_keeps_its_containers_over_a_restart_restarts_none(
    world: World, bed: Bed, echo_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = hack.bed.engine._dockerd_config

    def live(*args: object, **options: str) -> dict[str, object]:
        return plain(*args, **options) | {"live-restore": True}  # type: ignore[arg-type]  # as given

    monkeypatch.setattr(hack.bed.engine, "_dockerd_config", live)
    bed.engine().shut_down()
    bed.engine().start()
    try:
        world.apply(instance("lives", container(echo_image)))
        world.wait("Ready", "lives")
        (started,) = [c["Id"] for c in world.containers()]
        with world.docker() as client:
            since = client.inspect_container(started)["State"]["StartedAt"]
        bed.engine().shut_down()
        bed.engine().start()
        # The agent has looked at everything anew when it launches again.
        world.apply(instance("next", container(echo_image)))
        world.wait("Ready", "next")
        with world.docker() as client:
            assert client.inspect_container(started)["State"]["StartedAt"] == since
        assert restarts(world, "lives") == [0]
        world.answers("lives")
        world.delete()
    finally:
        monkeypatch.undo()
        bed.engine().shut_down()
        bed.engine().start()


def test_suspended_in_the_middle_of_its_launch_and_deleted_as_it_rests(
    world: World, echo_image: str
) -> None:
    pair = [container(echo_image, "front"), container(echo_image, "back", ports=[])]
    world.apply(instance("rests", *pair), instance("goes", *pair))
    for name in ("rests", "goes"):
        patch(world, name, '{"spec":{"suspended":true}}')
        world.wait("Suspended", name)
    assert {c["State"] for c in world.containers()} == {"paused"}
    before = world.get("rests")["status"]["ports"]
    world.delete("goes")
    patch(world, "rests", '{"spec":{"suspended":false}}')
    world.wait("Ready", "rests")
    assert world.get("rests")["status"]["ports"] == before
    world.answers("rests")
    assert restarts(world, "rests") == [0, 0]


def test_a_restart_is_asked_for_as_of_a_deployment(world: World, echo_image: str) -> None:
    world.apply(instance("again", container(echo_image)))
    world.wait("Ready", "again")
    first, ports = ids(world, "again"), world.get("again")["status"]["ports"]
    world.kubectl(
        "annotate", "chinst", "again", "-n", world.namespace,
        "challenge-controller.io/restartedAt=2026-01-31T12:00:00Z",
    )  # fmt: skip
    second = until(lambda: ids(world, "again"), lambda found: bool(found) and not found & first)
    world.wait("Ready", "again")
    assert world.get("again")["status"]["ports"] == ports
    world.answers_again("again")
    assert restarts(world, "again") == [0]
    assert ids(world, "again") == second


def test_the_gate_is_resized_by_the_nodes_operator_and_says_how_it_fares(
    world: World, echo_image: str
) -> None:
    for capacity in (1, 3):
        resize(world, f'{{"launchConcurrency":{capacity}}}', capacity)
        with engine_events(world) as events:
            names = [f"i{capacity}-{n}" for n in range(5)]
            world.apply(*(instance(name, container(echo_image)) for name in names))
            world.wait("Ready", *names)
            until(lambda: told(events, "start") == 5)
        assert most_at_once(events) <= capacity
    resize(world, "null", 2)
    shown = metrics(world)
    assert shown['challenge_launches_total{reason="",result="succeeded"}'] >= 10
    waits = shown['challenge_launch_gate_wait_seconds_count{work="launch"}']
    assert waits >= shown['challenge_launches_total{reason="",result="succeeded"}']
    assert shown["challenge_manager_acting"] == 1
    assert shown["challenge_launch_gate_held"] == 0
    assert shown["process_cpu_seconds_total"] > 0


def test_metrics_are_out_of_an_instances_reach_and_a_taken_port_is_named(
    world: World, bed: Bed, echo_image: str
) -> None:
    world.apply(instance("curious", container(echo_image)))
    world.wait("Ready", "curious")
    with world.docker() as client:
        (found,) = world.containers()
        (network,) = client.inspect_container(found["Id"])["NetworkSettings"]["Networks"].values()
        target = f"{network['Gateway']}:{METRICS_PORT}"
        assert exit_code(client, found["Id"], "/echo", "check", target) != 0
    env = {f"CHALLENGE_{key}": value for key, value in SETTINGS.items()}
    second = RunningController.start(bed, "life-second", role="manager", env=env)
    assert second.wait(90)
    assert (
        f"Error: CHALLENGE_METRICS_PORT={METRICS_PORT}: cannot serve metrics on "
        f"127.0.0.1:{METRICS_PORT}: address already in use; expected a free port"
    ) in second.logs()
    assert "Traceback" not in second.logs()


def resize(world: World, spec: str, capacity: int) -> None:
    """Give the node that spec, and wait until its gate has that capacity."""
    world.kubectl("patch", "chnode", "node-1", "--type=merge", "-p", f'{{"spec":{spec}}}')
    until(lambda: metrics(world)["challenge_launch_gate_capacity"], lambda n: n == capacity)


def metrics(world: World) -> dict[str, float]:
    """Every sample that the controller serves, by name and labels."""
    code = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"
    text = in_the_nodes_network(world, code, f"http://127.0.0.1:{METRICS_PORT}/metrics")
    samples = re.findall(r"^([^# ]\S*) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in samples}
