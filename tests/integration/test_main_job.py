"""From a manifest to a running challenge and back, on a real API server and a real engine."""

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from hack.bed.bed import Bed
from hack.bed.running import RunningController
from tests.integration.world import World, condition_of, container, instance, until


@pytest.fixture(scope="module")
def running(bed: Bed, echo_image: str) -> Iterator[RunningController]:
    """One controller for all tests of this module."""
    controller = RunningController.start(bed, "main-job")
    bed.wait_for_controller("main-job")
    yield controller
    controller.stop()


def test_an_instance_comes_up_answers_as_itself_and_leaves_nothing(
    world: World, echo_image: str
) -> None:
    world.apply(instance("solo", container(echo_image), user="alice", seed="7"))
    world.wait("Ready", "solo")

    answers = world.answers("solo")
    uid = world.get("solo")["metadata"]["uid"]
    assert set(answers) == {"http", "nc"}
    for answer in answers.values():
        assert (answer["uid"], answer["name"]) == (uid, "solo")
        assert (answer["user"], answer["seed"]) == ("alice", "7")

    status = world.get("solo")["status"]
    ports = {port["name"]: port["hostPort"] for port in status["ports"]}
    row = until(lambda: world.rows()["solo"], lambda row: row.is_finalized)
    assert dict(row.ports) == ports
    assert status["nodeName"] == "node-1"
    assert status["observedGeneration"] == 1
    kinds = {c["type"]: c["status"] for c in status["conditions"]}
    assert kinds == dict.fromkeys(("Scheduled", "PortsReserved", "Launched", "Ready"), "True")
    assert status["expirationTime"] > status["readyTime"]

    world.delete("solo")
    world.assert_nothing_left()


def test_a_reader_of_events_is_told_once(world: World, echo_image: str) -> None:
    world.apply(instance("told", container(echo_image)))
    world.wait("Ready", "told")
    reasons = until(lambda: world.events("told"), lambda found: "Ready" in found)
    assert reasons == ["Ready"]


def test_two_containers_find_each_other_by_name(world: World, echo_image: str) -> None:
    front = container(echo_image, "front", args=["serve", "--upstream", "back:9000"])
    back = container(echo_image, "back", ports=[])
    world.apply(instance("pair", front, back))
    world.wait("Ready", "pair")
    answer = world.answers("pair")["nc"]
    assert answer["upstream"]["uid"] == answer["uid"]
    assert len(world.networks()) == 1


def test_twenty_at_once_never_launch_more_than_two_at_a_time(world: World, echo_image: str) -> None:
    names = [f"many-{number}" for number in range(20)]
    with engine_events(world) as events:
        world.apply(*(instance(name, container(echo_image)) for name in names))
        world.wait("Ready", timeout=300)
        hosts = [(e.host, e.port) for e in world.endpoints()]
        for name in names:
            world.answers(name)
        assert len(hosts) == len(set(hosts)) == 40
        world.delete()
        until(lambda: told(events, "destroy") == 20)
    world.assert_nothing_left()

    assert told(events, "create") == 20
    assert most_at_once(events) <= 2


def test_a_missing_challenge_is_waited_for(world: World, echo_image: str) -> None:
    world.apply(instance("early", challengeRef={"name": "late"}))
    condition = world.wait_reason("early", "ChallengeNotFound")
    assert "'late'" in condition["message"]
    challenge = instance("late", container(echo_image)) | {"kind": "Challenge"}
    world.apply(challenge)
    world.wait("Ready", "early")
    # The Challenge itself wakes who waits for it, long before the next look that nobody asked for,
    # which comes 15 s after the last.
    there = world.kubectl("get", "chal", "late", "-n", world.namespace, "-o", "json").stdout
    made = datetime.fromisoformat(json.loads(there)["metadata"]["creationTimestamp"])
    placed = world.condition("early", "Scheduled")["lastTransitionTime"]
    assert datetime.fromisoformat(placed) - made < timedelta(seconds=12)


def test_an_image_that_nobody_has_gives_its_ports_back_and_is_told(
    world: World, echo_image: str
) -> None:
    missing = container("localhost:1/nobody/has-this:1")
    world.apply(instance("no-image", missing))
    seen = world.caught_reason("no-image", "ImagePullFailed")
    condition = condition_of(seen)
    assert "localhost:1/nobody/has-this:1" in condition["message"]
    assert "connection refused" in condition["message"]
    # It is tried again in 10 s, and then in 20: only after that is it given up for good.
    assert condition_of(seen, "Reconciling")["reason"] == "ImagePullFailed"
    assert condition_of(seen, "Stalled") == {}
    assert seen["status"]["ports"] == []
    until(world.ports_held, lambda held: held == 0)  # it holds some whenever it tries again
    # The next good input works.
    world.apply(instance("good", container(echo_image)))
    world.wait("Ready", "good")


def test_a_command_that_cannot_run_is_told_in_the_engines_words(
    world: World, echo_image: str
) -> None:
    world.apply(instance("bad", container(echo_image, command=["/no/such/program"])))
    seen = world.caught_reason("bad", "LaunchFailed")
    assert "/no/such/program" in condition_of(seen)["message"]
    assert seen["status"]["ports"] == []
    # The third time in a row; and it is tried again, with the same words.
    world.wait("Stalled", "bad")
    assert world.condition("bad")["reason"] == "LaunchFailed"


def test_a_container_that_ends_is_started_again_and_counted(world: World, echo_image: str) -> None:
    ending = container(echo_image, args=["serve", "--exit-after", "1s", "--exit-code", "3"])
    world.apply(instance("ending", ending))
    path = '{.status.containers[?(@.name=="echo")].restartCount}'
    status = world.caught("ending", path, "1")["status"]["containers"][0]
    assert (status["exitCode"], status["reason"]) == (3, "Error")


def test_what_may_not_be_restarted_stays_down(world: World, echo_image: str) -> None:
    ending = container(echo_image, args=["serve", "--exit-after", "1s"])
    world.apply(instance("once", ending, template={"restartPolicy": "Never"}))
    condition = world.wait_reason("once", "ContainerExited")
    assert "restartPolicy is Never" in condition["message"]


def test_probes_of_all_kinds_are_asked(world: World, echo_image: str) -> None:
    http = {"httpGet": {"path": "/identity", "port": "http"}, "periodSeconds": 1}
    command = {"exec": {"command": ["/echo", "check", "127.0.0.1:9000"]}, "periodSeconds": 1}
    never = {"tcpSocket": {"port": 7777}, "periodSeconds": 1, "failureThreshold": 1}
    for probe in (http, command, never):
        probe["timeoutSeconds"] = 10  # a busy machine is late with its answer, and has one
    world.apply(
        instance("http", container(echo_image, readinessProbe=http)),
        instance("exec", container(echo_image, readinessProbe=command)),
        instance("never", container(echo_image, readinessProbe=never)),
        instance("slow", container(echo_image, args=["serve", "--delay", "2s"])),
    )
    world.wait("Ready", "http", "exec", "slow")
    condition = world.wait_reason("never", "ProbeFailing")
    assert "7777: connection refused" in condition["message"]


def test_a_suspended_instance_keeps_its_ports_and_goes_on_after(
    world: World, echo_image: str
) -> None:
    world.apply(instance("rest", container(echo_image)))
    world.wait("Ready", "rest")
    before = world.get("rest")["status"]["ports"]
    patch = '{"spec":{"suspended":%s}}'
    args = ("patch", "chinst", "rest", "-n", world.namespace, "--type=merge", "-p")
    world.kubectl(*args, patch % "true")
    world.wait("Suspended", "rest")
    assert [c["State"] for c in world.containers()] == ["paused"]
    assert world.condition("rest") == {}
    world.kubectl(*args, patch % "false")
    world.wait("Ready", "rest")
    assert world.get("rest")["status"]["ports"] == before
    world.answers("rest")


def test_an_instance_whose_time_is_over_is_deleted(world: World, echo_image: str) -> None:
    # Its time begins when it is Ready, and may be over before somebody looks.
    world.apply(instance("brief", container(echo_image), ttl="2s"))
    world.wait("delete", "brief")
    until(world.containers, lambda found: not found)


def test_a_retained_instance_loses_its_containers_and_comes_back_with_more_ttl(
    world: World, echo_image: str
) -> None:
    world.apply(instance("kept", container(echo_image), ttl="2s", onExpiry="Retain"))
    world.wait("Expired", "kept")
    assert world.get("kept")["status"]["ports"] == []
    assert (world.containers(), world.networks()) == ([], [])
    args = ("patch", "chinst", "kept", "-n", world.namespace, "--type=merge", "-p")
    world.kubectl(*args, '{"spec":{"ttl":"1h"}}')
    world.wait("Ready", "kept")
    world.answers("kept")


def test_an_instance_in_the_queue_can_be_deleted_at_once(world: World, echo_image: str) -> None:
    world.apply(*(instance(f"busy-{n}", container(echo_image)) for n in range(8)))
    world.delete("busy-7", "busy-6")
    world.wait("Ready")


def test_a_container_removed_by_hand_comes_back_on_the_same_ports(
    world: World, echo_image: str
) -> None:
    world.apply(instance("robbed", container(echo_image)))
    world.wait("Ready", "robbed")
    before = world.get("robbed")["status"]["ports"]
    old = world.containers()[0]["Id"]
    with world.docker() as client:
        client.remove_container(old, force=True)
    until(lambda: [c["Id"] for c in world.containers() if c["State"] == "running"])
    world.wait("Ready", "robbed")
    assert world.get("robbed")["status"]["ports"] == before
    world.answers_again("robbed")


def test_a_capability_that_is_not_allowed_is_refused_by_name(world: World, echo_image: str) -> None:
    raw = container(echo_image, securityContext={"capabilities": {"add": ["NET_RAW"]}})
    world.apply(instance("raw", raw))
    condition = world.wait_reason("raw", "CapabilityNotAllowed")
    message = condition["message"]
    assert "NET_RAW is not allowed here; allowed: AUDIT_WRITE, CHOWN" in message
    assert "LINUX_IMMUTABLE" in message


def test_a_secret_is_read_only_with_its_label(world: World, echo_image: str) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "answers"},
        "stringData": {"word": "correct horse"},
    }
    source = {"secretKeyRef": {"name": "answers", "key": "word"}}
    env = [{"name": "INSTANCE_NAME", "valueFrom": source}]
    world.apply(secret, instance("secretive", container(echo_image, env=env, ports=[])))
    condition = world.wait_reason("secretive", "SecretNotFound")
    assert 'lacks the label challenge-controller.io/use: "true"' in condition["message"]
    secret["metadata"] = {"name": "answers", "labels": {"challenge-controller.io/use": "true"}}
    world.apply(secret)
    world.wait("Ready", "secretive")
    status = str(world.get("secretive"))
    assert "correct horse" not in status + world.controller.logs()


class engine_events:  # reads as a context manager
    """The engine's container events while the block runs."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._found: list[dict[str, Any]] = []

    def __enter__(self) -> list[dict[str, Any]]:
        self._docker = self._world.docker()
        client = self._docker.__enter__()
        self._stream = client.events(decode=True, filters={"type": "container"})
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self._found

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._thread.join(10)
        self._docker.__exit__(None, None, None)

    def _read(self) -> None:
        for event in self._stream:
            self._found.append(event)


def told(events: list[dict[str, Any]], action: str) -> int:
    """How many events of a kind have been told so far."""
    return sum(event["Action"] == action for event in events)


def most_at_once(events: list[dict[str, Any]]) -> int:
    """How many launches overlapped at most: each from its create event to its start event."""
    steps: list[tuple[int, int]] = []
    for event in events:
        change = {"create": 1, "start": -1}.get(event["Action"])
        if change:
            steps.append((event["timeNano"], change))
    most = now = 0
    for _, change in sorted(steps):
        now += change
        most = max(most, now)
    return most
