"""ChallengePools, whole: on a real API server and a real engine, with kubectl."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hack.bed.bed import Bed
from hack.bed.running import RunningController
from tests.integration.world import TIMEOUT, Instances, Object, World, container, until

SETTINGS = {"CHALLENGE_BACKOFF_INITIAL": "0.2", "CHALLENGE_BACKOFF_MAXIMUM": "2"}
PROBE = {"tcpSocket": {"port": "http"}, "periodSeconds": 1}


@pytest.fixture(scope="module")
def running(bed: Bed, echo_image: str) -> Iterator[RunningController]:
    """One controller for all tests of this module."""
    controller = RunningController.start(bed, "pools", env=SETTINGS)
    bed.wait_for_controller("pools")
    yield controller
    controller.stop()


@pytest.fixture
def world(world: World) -> Iterator[World]:
    """As elsewhere; the pools go before their instances, or they would make new ones."""
    yield world
    kubectl(world, "delete", "chpool", "--all")


def challenge(image: str, **spec: Any) -> Object:
    one = container(image, readinessProbe=PROBE)
    return {
        "apiVersion": "challenge-controller.io/v1alpha1",
        "kind": "Challenge",
        "metadata": {"name": "echo"},
        "spec": {"template": {"terminationGracePeriodSeconds": 0, "containers": [one]}} | spec,
    }


def pool(**spec: Any) -> Object:
    wanted = {"challengeRef": {"name": "echo"}, "seeds": ["1", "2"], "replicas": 2}
    return {
        "apiVersion": "challenge-controller.io/v1alpha1",
        "kind": "ChallengePool",
        "metadata": {"name": "web"},
        "spec": wanted | spec,
    }


def kubectl(world: Instances, *args: str, timeout: float = 120) -> str:
    return world.kubectl(*args, "-n", world.namespace, timeout=timeout).stdout


def instances(world: Instances) -> list[Object]:
    """The pool's instances that are not on their way out."""
    found = json.loads(kubectl(world, "get", "chinst", "-o", "json"))["items"]
    return [item for item in found if "deletionTimestamp" not in item["metadata"]]


def names(world: Instances) -> set[str]:
    return {item["metadata"]["name"] for item in instances(world)}


def ready(world: Instances) -> Counter[str]:
    """How many of each seed are ready, those included that are on their way out."""
    rows = kubectl(
        world,
        "get",
        "chinst",
        "-o",
        "jsonpath={range .items[?(@.metadata.ownerReferences)]}{.spec.seed} "
        '{.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}',
    ).splitlines()
    return Counter(row.split()[0] for row in rows if row.endswith("True"))


def wait(world: World, what: str = "condition=Ready") -> None:
    kubectl(
        world,
        "wait",
        "chpool/web",
        f"--for={what}",
        f"--timeout={TIMEOUT:.0f}s",
        timeout=TIMEOUT + 30,
    )


def settled(world: World, seeds: dict[str, int]) -> None:
    """Wait until there are as many as that of each seed, ready, and no others."""
    wait(world)
    until(lambda: Counter(i["spec"]["seed"] for i in instances(world)), lambda s: s == seeds)
    wait(world, f"jsonpath={{.status.readyInstances}}={sum(seeds.values())}")


@contextmanager
def never_fewer(world: Instances, seeds: dict[str, int]) -> Iterator[list[Counter[str]]]:
    """Look all the while; at every look each seed must have as many ready."""
    looks: list[Counter[str]] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            looks.append(ready(world))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield looks
    finally:
        over.set()
        watcher.join()
    assert len(looks) > 1, "how many depends on the machine"
    short = [seen for seen in looks if any(seen[seed] < least for seed, least in seeds.items())]
    assert short == []


def test_a_pool_from_its_first_instance_to_its_last(world: World, echo_image: str) -> None:
    both = {"1": 2, "2": 2}
    world.apply(pool())
    kubectl(world, "wait", "chpool/web", "--for=condition=Reconciling", "--timeout=100s")
    assert "ChallengeNotFound" in kubectl(world, "get", "chpool", "web")
    # The maximum is for players: what a pool keeps does not end.
    world.apply(challenge(echo_image, ttl={"maximum": "1s"}, maxLifetime="1s"))
    settled(world, both)
    answers = [world.answers(name)["http"] for name in sorted(names(world))]
    assert Counter(answer["seed"] for answer in answers) == both
    assert not any("expirationTime" in item["status"] for item in instances(world))

    first = names(world)
    world.delete(min(first))
    settled(world, both)
    assert len(first & names(world)) == 3

    kubectl(world, "scale", "chpool/web", "--replicas=3")
    settled(world, {"1": 3, "2": 3})
    kubectl(world, "scale", "chpool/web", "--current-replicas=3", "--replicas=1")
    settled(world, {"1": 1, "2": 1})
    scale = f"/apis/challenge-controller.io/v1alpha1/namespaces/{world.namespace}/challengepools"
    shown = json.loads(world.kubectl("get", "--raw", f"{scale}/web/scale").stdout)
    assert shown["status"] == {"replicas": 1, "selector": "challenge-controller.io/pool=web"}
    chosen = kubectl(world, "get", "chinst", "-l", shown["status"]["selector"], "-o", "name")
    assert len(chosen.splitlines()) >= 2

    kubectl(world, "delete", "chpool", "web")
    world.wait("delete")
    assert world.containers() == []


def test_it_rolls_and_players_always_have_their_replicas(world: World, echo_image: str) -> None:
    both = {"1": 1, "2": 1}
    world.apply(challenge(echo_image), pool(replicas=1))
    settled(world, both)
    for change in (
        pool(replicas=1, instanceTemplate={"spec": {"env": [{"name": "TEAM", "value": "blue"}]}}),
        challenge(echo_image, template={"containers": [container(echo_image, "other")]}),
    ):
        before = names(world)
        with never_fewer(world, both):
            world.apply(change)
            until(lambda: names(world), lambda seen, old=before: len(seen) == 2 and not seen & old)  # type: ignore[misc]  # a default binds it
            settled(world, both)
        assert not before & names(world)
    assert [c["name"] for i in instances(world) for c in i["status"]["containers"]] == ["other"] * 2


def test_a_student_gets_no_endless_life_by_saying_to_be_a_pools(
    world: World, echo_image: str
) -> None:
    world.apply(challenge(echo_image, ttl={"maximum": "5s"}), pool(seeds=["1"], replicas=1))
    settled(world, {"1": 1})
    (mine,) = instances(world)
    forged = {
        "apiVersion": mine["apiVersion"],
        "kind": mine["kind"],
        "metadata": {
            "name": "mallory",
            "labels": mine["metadata"]["labels"],
            "ownerReferences": mine["metadata"]["ownerReferences"],
        },
        "spec": mine["spec"] | {"user": "mallory"},
        "status": {"poolUID": mine["metadata"]["ownerReferences"][0]["uid"]},
    }
    nobody = json.loads(json.dumps(forged))
    nobody["metadata"]["name"] = "nobody"
    nobody["metadata"]["ownerReferences"][0]["uid"] = "0f6a1c1e-3a5e-4b7a-9d52-5d3c1b0e8a77"
    plain = json.loads(json.dumps(forged))
    plain["metadata"] |= {"name": "plain", "ownerReferences": []}
    world.apply(forged, nobody, plain)
    world.wait("delete", "mallory", "nobody", "plain")
    assert names(world) == {mine["metadata"]["name"]}
