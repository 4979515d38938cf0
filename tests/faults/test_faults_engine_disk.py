"""The engine's disk is full: what runs goes on, what cannot start says why, and starts later."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import docker.errors
import pytest

from hack.bed.bed import Bed
from hack.bed.errors import BedError
from tests.faults import engines
from tests.faults.engines import fill, pair, single, wait_until_well
from tests.faults.worlds import Worlds
from tests.integration.world import World, until

MEGABYTES = 128
"""Of the engine's disk: the test image and some instances take a tenth."""

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(bed: Bed, echo_image: str) -> Iterator[Path]:
    """The small disk that the node's engine has its data on; it has its own again at the end."""
    engine = engines.owned(bed)
    engine.shut_down()
    with engines.small_disk(engine, MEGABYTES) as data:
        engines.start(bed)
        yield data
        engine.shut_down()
    engines.start(bed)


def up(begin: Worlds, image: str, **settings: str) -> World:
    """A controller with an instance of one container and one of two, which are up."""
    world = begin(**settings)
    world.apply(single(image, "single"), pair(image, "pair"))
    wait_until_well(world)
    return world


def test_a_node_with_a_full_disk_says_so_and_gets_no_instances(
    disk: Path, begin: Worlds, echo_image: str
) -> None:
    world = up(begin, echo_image)
    ports, ids = engines.ports(world), engines.ids(world)
    ballast = fill(disk)
    low = until(lambda: world.node_condition("DiskPressure"), lambda c: c.get("status") == "True")
    assert f"{disk}: 0.0 of" in low["message"]
    assert "docker image prune --all" in low["message"]
    world.apply(single(echo_image, "later"), pair(echo_image, "later-too"))
    waiting = world.wait_reason("later", "Unschedulable")
    assert "disk" in waiting["message"].lower()
    assert world.answers("single")
    assert world.answers("pair")
    world.delete("single")
    ballast.unlink()
    world.wait("Ready", "later", "later-too")
    wait_until_well(world)
    assert engines.ports(world)["pair"] == ports["pair"]
    assert engines.ids(world)["pair", "front"] == ids["pair", "front"]
    assert engines.restarts(world) == 0


def test_what_cannot_be_launched_on_a_full_disk_says_why_and_leaves_nothing(
    disk: Path, begin: Worlds, echo_image: str
) -> None:
    """Its disk fills up between the manager's look and the launch."""
    world = up(begin, echo_image, DISK_RESERVE="0")
    ids = engines.ids(world)
    ballast = fill(disk)
    world.apply(single(echo_image, "later"), pair(echo_image, "later-too"))
    for name in ("later", "later-too"):
        condition = world.wait_reason(name, "LaunchFailed")
        assert "no space left on device" in condition["message"]
    assert world.answers("single")
    assert world.answers("pair")
    assert {key: engines.ids(world).get(key) for key in ids} == ids
    # Whatever is in the middle of a try, one that is deleted goes, and so does one that runs.
    world.delete("later", "single")
    assert set(world.rows()) <= {"pair", "later-too"}
    ballast.unlink()
    world.wait("Ready", "later-too")
    wait_until_well(world)
    assert engines.restarts(world) == 0


def test_an_engine_started_on_a_full_disk_loses_none_of_what_it_does_not_list(
    bed: Bed, disk: Path, begin: Worlds, echo_image: str
) -> None:
    """Docker 20.10 comes up, and its list lacks the containers that it could not write down."""
    world = up(begin, echo_image)
    ids, engine = engines.ids(world), bed.engine()
    ballast = fill(disk)
    engine.kill()
    with contextlib.suppress(BedError):
        engine.start()
    print(f"up on a full disk: {engine.alive()}, lists {len(world.containers())}")
    ballast.unlink()
    if not engine.alive():
        engine.start()
    until(lambda: world.node_condition("DockerReachable").get("status"), lambda s: s == "True")
    world.delete("single")
    with world.docker() as client, pytest.raises(docker.errors.NotFound):
        client.inspect_container(ids["single", "echo"])
    # As the agent's log says, if the engine is one that has them and does not list them.
    engine.shut_down()
    engine.start()
    bed.state.save()
    wait_until_well(world)
    assert engines.restarts(world) == 0
    assert engines.known_to_one_alone(bed) == []
