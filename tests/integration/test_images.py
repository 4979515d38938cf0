"""Images in the whole product: who may use which, with whose password, when, and how often."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from controller.cluster.pull_secrets import KEY, TYPE
from controller.cluster.references import USE_LABEL
from hack.bed.bed import Bed
from hack.bed.registry import ACCOUNT, Registry
from hack.bed.running import RunningController
from tests.integration.registries import HeldDoor
from tests.integration.world import Object, World, condition_of, container, instance, until

WRONG = "battery-staple"
STALL = 20
"""More than a busy machine takes from one step of a test to the next."""
SETTINGS = {
    "CHALLENGE_CONCURRENT_LAUNCHES": "4",  # so that the manager places them all at once
    "CHALLENGE_CONCURRENT_PULLS": "1",
    "CHALLENGE_PULL_STALL_TIMEOUT": str(STALL),
    "CHALLENGE_ALLOWED_IMAGES": "127.0.0.1:*/ctf/*, challenge-echo",
}


@pytest.fixture(scope="module")
def running(bed: Bed, echo_image: str) -> Iterator[RunningController]:
    """One controller for all tests of this module."""
    controller = RunningController.start(bed, "images", env=SETTINGS)
    bed.wait_for_controller("images")
    yield controller
    controller.stop()


def secret(name: str, registry: Registry, password: str) -> Object:
    login = {"username": ACCOUNT["username"], "password": password}
    config = json.dumps({"auths": {f"http://{registry.address}": login}})
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": TYPE,
        "metadata": {"name": name, "labels": {USE_LABEL: "true"}},
        "data": {KEY: base64.b64encode(config.encode()).decode()},
    }


def locked_instance(name: str, image: str, secret: str) -> Object:
    return instance(name, container(image), template={"imagePullSecrets": [{"name": secret}]})


def challenge(name: str, image: str, **spec: Any) -> Object:
    made = instance(name, container(image))
    return made | {"kind": "Challenge", "spec": made["spec"] | spec}


def test_what_goes_wrong_with_an_image_is_told_and_mended_without_a_further_hand(
    world: World, registry: Registry, locked_registry: Registry, door: HeldDoor, echo_image: str
) -> None:
    digest = locked_registry.push(echo_image, "ctf/locked")
    registry.push(echo_image, "ctf/slow", megabytes=2)
    locked = f"{locked_registry.address}/ctf/locked:1"
    with door.held():
        world.apply(
            secret("bad", locked_registry, WRONG),
            instance("stalled", container(f"{door.address}/ctf/slow:1")),
            locked_instance("refused", locked, "bad"),
            locked_instance("missing", locked, "later"),
        )
        condition = world.wait_reason("missing", "SecretNotFound")
        assert condition["message"] == "Secret 'later' does not exist"
        condition = world.wait_reason("stalled", "ImagePullFailed")
        assert f"/ctf/slow:1: no progress for {STALL} s" in condition["message"]
        seen = world.caught_reason("refused", "ImagePullFailed")
        assert "unauthorized: authentication required" in condition_of(seen)["message"]
        assert seen["status"]["ports"] == []
    right = ACCOUNT["password"]
    world.apply(secret("bad", locked_registry, right), secret("later", locked_registry, right))
    world.wait("Ready")

    (ran,) = world.get("refused")["status"]["containers"]
    assert ran["imageID"] == f"{locked_registry.address}/ctf/locked@{digest}"
    events = world.kubectl("get", "events", "-n", world.namespace, "-o", "yaml").stdout
    shown = json.dumps([world.get(n) for n in ("refused", "missing")]) + events
    for word in (WRONG, right, base64.b64encode(right.encode()).decode()):
        assert word not in shown + world.controller.logs()


def test_twenty_of_one_image_are_one_pull_and_the_next_image_waits_for_the_gate(
    world: World, registry: Registry, door: HeldDoor, echo_image: str
) -> None:
    for name in ("many", "next"):
        registry.push(echo_image, f"ctf/{name}", megabytes=1)
    with door.held():
        many = [instance(f"many-{n}", container(f"{door.address}/ctf/many:1")) for n in range(20)]
        world.apply(*many)
        door.wait_for("/ctf/many/blobs/")
        world.apply(instance("next", container(f"{door.address}/ctf/next:1")))
        condition = world.wait_reason("next", "PullingImage")
        assert condition["message"] == f"Pulling {door.address}/ctf/next:1"
        assert door.requests("/ctf/next/") == []
    world.wait("Ready", timeout=300)
    assert len(door.requests("HEAD /v2/ctf/many/manifests/")) == 1
    assert len(door.requests("HEAD /v2/ctf/next/manifests/")) == 1


def test_only_allowed_images_are_used(world: World, echo_image: str) -> None:
    world.apply(
        instance("evil", container("evil.example/127.0.0.1:1/ctf/web")),
        instance("other", container("127.0.0.1:5000/other/web")),
        instance("good", container(echo_image)),
    )
    condition = world.wait_reason("other", "ImageNotAllowed")
    assert "127.0.0.1:5000/other/web:latest" in condition["message"]
    assert condition["message"].endswith("allowed: 127.0.0.1:*/ctf/*, challenge-echo")
    assert world.wait_reason("evil", "InvalidTemplate")["message"].startswith("containers[echo]")
    assert "other" not in world.rows()
    world.wait("Ready", "good")


def test_the_pull_policy_decides(world: World, registry: Registry, echo_image: str) -> None:
    image = f"{registry.address}/ctf/policy"
    old = registry.push(echo_image, "ctf/policy")
    never = container(f"{image}:1", imagePullPolicy="Never")
    always = container(f"{image}:1", imagePullPolicy="Always")
    world.apply(instance("never", never))
    condition = world.wait_reason("never", "ImagePullFailed")
    assert "imagePullPolicy is Never" in condition["message"]
    world.delete("never")  # or it takes what is built and tagged here, before it is pushed
    world.apply(instance("first", always))
    world.wait("Ready", "first")
    new = registry.push(echo_image, "ctf/policy")
    world.apply(
        instance("second", always),
        instance("pinned", container(f"{image}@{old}")),
    )
    world.wait("Ready", "first", "second", "pinned")
    ran = {n: world.get(n)["status"]["containers"][0] for n in ("first", "second", "pinned")}
    assert {n: status["imageID"] for n, status in ran.items()} == {
        "first": f"{image}@{old}",
        "second": f"{image}@{new}",
        "pinned": f"{image}@{old}",
    }
    assert ran["second"]["image"] == f"{image}:1"


def test_images_are_pulled_before_any_instance_asks(
    world: World, registry: Registry, echo_image: str
) -> None:
    registry.push(echo_image, "ctf/ahead")
    image = f"{registry.address}/ctf/ahead:1"
    world.apply(
        challenge("ahead", image, prePull=True),
        challenge("broken", f"{registry.address}/ctf/nobody-pushed:1", prePull=True),
    )
    args = ("-n", world.namespace, "--timeout=100s")
    world.kubectl("wait", "chal/ahead", "--for=condition=PrePulled", *args)
    for name, nodes in (("ahead", "1/1 nodes"), ("broken", "0/1 nodes")):
        world.kubectl(
            "wait", f"chal/{name}", f"--for=jsonpath={{.status.prePulled}}={nodes}", *args
        )
    with world.docker() as client:
        assert client.images(name=image)
    until(lambda: world.events("broken"), lambda seen: "ImagePullFailed" in seen)
    node = json.loads(world.kubectl("get", "chnode", "node-1", "-o", "json").stdout)
    assert node["status"]["images"] == [image]

    world.apply(instance("quick", challengeRef={"name": "ahead"}))
    world.wait("Ready", "quick")
    assert registry.requests("HEAD /v2/ctf/ahead/manifests/1") == 1
    world.kubectl("delete", "chal", "--all", "-n", world.namespace)
