"""Deletion always ends: from whatever state, and whatever is away meanwhile."""

from collections.abc import Iterator

import pytest

from controller.api.meta import FINALIZER
from hack.bed.bed import Bed
from hack.bed.running import RunningController
from tests.faults.verdicts import until_told
from tests.faults.worlds import QUICK
from tests.integration.world import Object, World, container, instance, until

MUTE, CLOSED = 17001, 17002
"""Ports of the node: where somebody listens and never answers, and where nobody does."""
FOREIGN = "example.org/hold"


@pytest.fixture(scope="module")
def running(bed: Bed, echo_image: str) -> Iterator[RunningController]:
    """One controller for the tests that do not need their own."""
    settings = {f"CHALLENGE_{name}": value for name, value in QUICK.items()}
    settings |= {"CHALLENGE_RESTART_BUDGET": "1", "CHALLENGE_RESYNC_INTERVAL": "5"}
    controller = RunningController.start(bed, "deletion", env=settings)
    controller.wait_until_serving()
    yield controller
    controller.stop()


def states(image: str) -> dict[str, tuple[Object, str]]:
    """An instance for each state that one can be in, and the reason that shows it."""
    flag = [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "none", "key": "k"}}}]
    ends = ["serve", "--exit-after", "1ms", "--exit-code", "3"]
    stubborn = container(image, args=["serve", "--ignore-sigterm"])
    back = container(image, "back", ports=[])
    found = [
        (instance("unplaced", container(image), nodeName="none"), "Unschedulable"),
        (instance("no-challenge", challengeRef={"name": "none"}), "ChallengeNotFound"),
        (instance("pulling", container(f"127.0.0.1:{MUTE}/x:1")), "PullingImage"),
        (instance("no-image", container(f"127.0.0.1:{CLOSED}/x:1")), "ImagePullFailed"),
        (instance("no-secret", container(image, env=flag)), "SecretNotFound"),
        (instance("cannot-run", container(image, command=["/none"])), "LaunchFailed"),
        (instance("invalid", container(image, mountFlag=True)), "InvalidTemplate"),
        (instance("probing", container(image, args=["serve", "--delay", "1h"])), "ProbeFailing"),
        (instance("crash-loop", container(image, args=ends)), "CrashLoop"),
        (instance("suspended", container(image), suspended=True), "Suspended"),
        (instance("retained", container(image), ttl="1s", onExpiry="Retain"), "Expired"),
        (
            instance("stubborn", stubborn, template={"terminationGracePeriodSeconds": 1}),
            "Ready",
        ),
        (instance("pair", container(image, "front"), back), "Ready"),
    ]
    return {made["metadata"]["name"]: (made, reason) for made, reason in found}


def ask_for_deletion(world: World, *names: str) -> None:
    """Delete instances (or all), and wait for nothing."""
    which = names or ("--all",)
    world.kubectl("delete", "chinst", *which, "-n", world.namespace, "--wait=false")


def test_an_instance_is_deleted_from_whatever_state_it_is_in(world: World, echo_image: str) -> None:
    wanted = states(echo_image)
    with world.listening_on_the_node(MUTE):
        world.apply(*(made for made, _ in wanted.values()))
        until_told(world, {name: reason for name, (_, reason) in wanted.items()})
        # And some of which hardly anything has been seen yet.
        world.apply(*(instance(f"fresh-{n}", container(echo_image)) for n in range(8)))
        world.delete()
        world.assert_nothing_left()


def test_finalizers_of_others_hold_the_object_and_nothing_of_ours(
    world: World, echo_image: str
) -> None:
    held = [instance("up", container(echo_image)), instance("lost", container(echo_image))]
    held[1]["spec"]["nodeName"] = "none"
    # Whoever creates an instance can write any finalizer, the agents' own too.
    held[0]["metadata"]["finalizers"] = [FOREIGN]
    held[1]["metadata"]["finalizers"] = [FOREIGN, FINALIZER]
    world.apply(*held)
    until_told(world, {"up": "Ready", "lost": "Unschedulable"})

    def finalizers() -> list[list[str]]:
        return [world.get(name)["metadata"]["finalizers"] for name in ("up", "lost")]

    ask_for_deletion(world)
    until(finalizers, lambda found: found == [[FOREIGN], [FOREIGN]])
    world.assert_nothing_left()
    versions = world.versions()
    # Nothing announces that nothing happens: that nobody writes to what is held, on and on.
    assert not world.controller.wait(3)
    assert world.versions() == versions
    for name in ("up", "lost"):
        release(world, name)
    world.wait("delete", "up", "lost")


def release(world: World, name: str) -> None:
    """Take all finalizers off, as whoever has put them there."""
    patch = '{"metadata":{"finalizers":null}}'
    world.kubectl("patch", "chinst", name, "-n", world.namespace, "--type=merge", "-p", patch)


def test_what_is_deleted_while_its_engine_is_down_goes_when_it_is_back(
    world: World, bed: Bed, echo_image: str
) -> None:
    resting = instance("resting", container(echo_image), suspended=True)
    pair = [container(echo_image, "front"), container(echo_image, "back", ports=[])]
    world.apply(instance("up", container(echo_image)), instance("pair", *pair), resting)
    until_told(world, {"up": "Ready", "pair": "Ready", "resting": "Suspended"})
    bed.engine().kill()
    try:
        until(
            lambda: world.node_condition("DockerReachable").get("status"),
            lambda seen: seen == "False",
        )
        world.apply(instance("late", container(echo_image), nodeName=bed.node(1).name))
        ask_for_deletion(world)
        # One that was never launched is not waited for; of the others nobody can say that they
        # are gone.
        until(lambda: set(world.versions()) <= {"up", "pair", "resting"})
        assert set(world.rows()) == set(world.versions()) == {"up", "pair", "resting"}
    finally:
        bed.engine().start()
    world.wait("delete", "up", "pair", "resting")
    world.assert_nothing_left()
    world.apply(instance("next", container(echo_image)))
    world.wait("Ready", "next")
    world.answers("next")


@pytest.mark.slow
def test_what_is_deleted_while_its_agent_is_down_goes_when_it_is_back(
    world: World, echo_image: str
) -> None:
    names = ["up", "resting", "queued", "unplaced"]
    world.apply(instance("up", container(echo_image)))
    world.apply(instance("resting", container(echo_image), suspended=True))
    until_told(world, {"up": "Ready", "resting": "Suspended"})
    world.apply(instance("unplaced", container(echo_image), nodeName="none"))
    world.apply(instance("queued", container(echo_image)))
    try:
        world.controller.kill()
        ask_for_deletion(world, *names)
        until(lambda: set(world.versions()) <= {"up", "resting", "queued"})
        assert {"up", "resting"} <= set(world.versions())
    finally:
        world.controller.start_again()
    world.wait("delete", *names)
    world.assert_nothing_left()
