"""The audit of a real node: nothing is found after a quiet life, and what is planted is."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from controller.runtime import labels
from hack.bed.audit import Wanted, endpoints_ready, engine_remains, judge, unanswered
from hack.bed.inventory import look
from hack.bed.processes import run
from tests.faults.worlds import Worlds
from tests.integration.world import Object, World, container, instance, until

STRAY = "stray"


def objects(world: World) -> list[Object]:
    out = world.kubectl("get", "chinst", "-n", world.namespace, "-o", "json").stdout
    found: list[Object] = json.loads(out)["items"]
    return found


def audit(world: World, *names: str) -> list[str]:
    """What is found when these are wanted."""
    there = objects(world)
    wanted = [
        Wanted(world.namespace, name, each["metadata"]["uid"])
        for each in there
        if (name := each["metadata"]["name"]) in names
    ]
    node = look(world.bed, world.number, world.state_dir)
    found = judge(there, [node], wanted, now=datetime.now(UTC))
    return found + engine_remains([node]) + unanswered(endpoints_ready(there))


@contextmanager
def planted(world: World, image: str) -> Iterator[None]:
    """A container, a volume, a folder and a firewall rule that nobody owns."""
    # Of another node of the installation, so that this one's agent leaves them alone.
    marks = {labels.INSTALLATION: world.bed.state.name, labels.NODE: "another"}
    folder = world.state_dir / "instances" / STRAY
    namespace = world.bed.engine(world.number).state.namespace
    enter = ["nsenter", f"--net=/run/netns/{namespace}", "--"] if namespace else []
    door = ["DOCKER", "-t", "nat", "-p", "tcp", "--dport", "9", "-j", "DNAT"]
    door += ["--to-destination", "127.0.0.1:9"]
    with world.docker() as client:
        client.create_container(image, name=STRAY, labels=marks)
        client.create_volume(STRAY, labels=marks)
        folder.mkdir(parents=True)
        run(*enter, "iptables", "-A", *door)
        try:
            yield
        finally:
            run(*enter, "iptables", "-D", *door)
            folder.rmdir()
            client.remove_volume(STRAY, force=True)
            client.remove_container(STRAY, force=True)


def test_nothing_is_found_on_a_sound_node_and_each_thing_that_nobody_owns_is(
    begin: Worlds, echo_image: str
) -> None:
    world = begin()
    back = container(echo_image, "back", ports=[])
    front = container(echo_image, "front", args=["serve", "--upstream", "back:9000"])
    world.apply(instance("one", container(echo_image)), instance("two", front, back))
    world.wait("Ready")
    # Their rows are finalized a moment after the API server says that they are Ready.
    until(lambda: audit(world, "one", "two"), lambda found: found == [])

    with planted(world, echo_image):
        assert audit(world, "one", "two") == [
            "node-1: container stray (created) belongs to no instance here",
            "node-1: volume stray belongs to no instance here",
            "node-1: folder stray belongs to no instance here",
            "node-1: dockerd maps port 9 to no container",
        ]
    assert audit(world, "one", "two") == []
    (text,) = audit(world, "one")
    assert "/two " in text
    assert text.endswith("is still there, and was deleted")

    world.delete()
    assert audit(world) == []
