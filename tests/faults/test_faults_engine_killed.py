"""An engine that is killed while it launches, comes back empty, or is another one."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from controller.runtime.labels import bridges
from hack.bed.bed import Bed
from hack.bed.engine import Engine, remove_all_containers
from hack.bed.foreign import remove_agent_locks
from hack.bed.processes import run
from tests.faults import engines
from tests.faults.engines import pair, single, wait_until_well
from tests.faults.worlds import Worlds
from tests.integration.world import Object, World, until

pytestmark = pytest.mark.slow

MANY = 16
"""Instances that start while the engine is killed."""


@pytest.fixture
def engine(bed: Bed, echo_image: str) -> Iterator[Engine]:
    """The node's engine; up at the end, with its own settings and the test image."""
    engine = engines.owned(bed)
    yield engine
    if engine.state.daemon:
        engine.shut_down()
        engine.state.daemon = {}
    if not engine.alive():
        engines.start(bed)


@pytest.fixture
def restoring(bed: Bed, engine: Engine) -> Engine:
    """The same, set up so that containers outlive their daemon."""
    engine.shut_down()
    engine.state.daemon = {"live-restore": True}
    engines.start(bed)
    return engine


def instances(image: str, number: int) -> list[Object]:
    """As many with one container as with two."""
    return [(pair if n % 2 else single)(image, f"i{n:02}") for n in range(number)]


def kill_in_a_launch(world: World, engine: Engine, action: str, nth: int, *made: Object) -> None:
    """Create instances, and kill the engine at the n-th such event."""
    with engines.watching(engine, action) as events:
        world.apply(*made)
        for _ in range(nth):
            next(events)
        engine.kill()


@pytest.mark.parametrize("action", ["create", "start"])
def test_what_was_launching_when_the_engine_was_killed_comes_up_once(
    bed: Bed, begin: Worlds, engine: Engine, echo_image: str, action: str
) -> None:
    world = begin()
    world.apply(pair(echo_image, "resting", suspended=True))
    world.wait("Suspended", "resting")
    kill_in_a_launch(world, engine, action, 8, *instances(echo_image, MANY))
    engines.start(bed)
    wait_until_well(world)
    assert engines.restarts(world) == 0, "the engine has ended them, not they themselves"


@pytest.mark.parametrize("action", ["create", "start"])
def test_with_live_restore_what_was_up_is_not_touched(
    bed: Bed, restoring: Engine, begin: Worlds, echo_image: str, action: str
) -> None:
    world = begin()
    world.apply(*instances(echo_image, 4), pair(echo_image, "resting", suspended=True))
    world.wait("Suspended", "resting")
    wait_until_well(world)
    ids, ports = engines.ids(world), engines.ports(world)
    many = instances(echo_image, MANY)[4:]
    kill_in_a_launch(world, restoring, action, 4, *many)
    engines.start(bed)
    wait_until_well(world)
    assert {key: engines.ids(world)[key] for key in ids} == ids
    assert {name: engines.ports(world)[name] for name in ports} == ports
    assert engines.restarts(world) == 0
    assert engines.known_to_one_alone(bed) == []


def test_what_was_being_removed_when_the_engine_was_killed_is_gone(
    bed: Bed, begin: Worlds, engine: Engine, echo_image: str
) -> None:
    world = begin()
    world.apply(*instances(echo_image, 8))
    wait_until_well(world)
    with engines.watching(engine, "destroy") as events:
        world.kubectl("delete", "chinst", "--all", "-n", world.namespace, "--wait=false")
        for _ in range(3):
            next(events)
        engine.kill()
    engines.start(bed)
    world.delete()
    world.assert_nothing_left()


def up(begin: Worlds, image: str, **settings: str) -> World:
    """A controller with an instance of one container and one of two, which are up."""
    world = begin(**settings)
    world.apply(single(image, "single"), pair(image, "pair"))
    wait_until_well(world)
    return world


@pytest.mark.parametrize("running", [True, False], ids=["beside the agent", "without the agent"])
def test_an_engine_that_comes_back_without_containers_has_them_again(
    bed: Bed, begin: Worlds, engine: Engine, echo_image: str, running: bool
) -> None:
    world = up(begin, echo_image)
    ports, ids = engines.ports(world), engines.ids(world)
    if not running:
        world.controller.kill()
        remove_all_containers(engine.url)
    engine.kill()
    if running:
        with_containers_gone(bed, engine)
    engines.start(bed)
    if not running:
        world.controller.start_again()
    until(lambda: set(engines.ids(world).values()) & set(ids.values()), lambda left: not left)
    wait_until_well(world)
    assert engines.ports(world) == ports
    assert engines.restarts(world) == 0


def with_containers_gone(bed: Bed, engine: Engine) -> None:
    """Have an engine that was killed find no container when it comes back."""
    # Elsewhere than at its own socket, where the agent would see them go one by one.
    socket, engine.state.daemon = engine.state.url, {"hosts": [f"{engine.url}.aside"]}
    engine.state.url = f"{socket}.aside"
    try:
        engine.start()
        remove_all_containers(engine.url)
        engine.shut_down()
    finally:
        engine.state.url, engine.state.daemon = socket, {}


def wipe(bed: Bed, engine: Engine) -> None:
    """Remove all that an engine has stored, as `rm -rf /var/lib/docker/*` does, and reboot."""
    engine.shut_down()
    for each in (engines.folder_of(engine) / "data").iterdir():
        shutil.rmtree(each)
    ip = ("ip", "-n", str(engine.state.namespace))
    for line in run(*ip, "-br", "link", "show", "type", "bridge").stdout.splitlines():
        if line.startswith(bridges(bed.state.name)):
            run(*ip, "link", "delete", line.split()[0])


def test_an_engine_whose_data_was_wiped_has_everything_again(
    bed: Bed, begin: Worlds, engine: Engine, echo_image: str
) -> None:
    """It says that it is the same one, as Docker 20.10 does: its key lies elsewhere."""
    world = up(begin, echo_image)
    ids = set(engines.ids(world).values())
    wipe(bed, engine)
    engines.start(bed)
    until(lambda: set(engines.ids(world).values()) & ids, lambda left: not left)
    wait_until_well(world)
    assert engines.restarts(world) == 0


def test_an_engine_that_was_set_up_anew_is_refused_and_served_after_what_the_text_says(
    bed: Bed, begin: Worlds, engine: Engine, echo_image: str
) -> None:
    world = up(begin, echo_image, NODE_LEASE_DURATION="10")
    before = engine.state.id
    wipe(bed, engine)
    remove_agent_locks(bed.state.name, engine)
    key = engines.folder_of(engine) / "key.json"
    key.unlink(missing_ok=True)
    engines.start(bed)
    assert engine.state.id != before
    assert world.controller.wait(90), "it serves another engine than its own"
    said = world.controller.logs()
    assert f"was made for engine {before!r}, but this is {engine.state.id!r}" in said
    # Word by word what the operator reads, and nothing else.
    _, _, command = next(line for line in said.splitlines() if ": mv " in line).partition(": mv ")
    subprocess.run(["mv", *command.removesuffix(".").split()], check=True, timeout=20)
    world.controller.start_again()
    wait_until_well(world)
    assert engines.restarts(world) == 0
