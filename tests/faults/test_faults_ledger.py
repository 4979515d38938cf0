"""The ledger's file is lost, spoiled or out of reach, while the agent runs and while it does not.

In every case: who runs is not touched and keeps its ports, who is being launched is launched, no
port has two, and the node says what is wrong as long as it is.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.bed.bed import Bed
from hack.bed.foreign import remove_from_engine
from hack.bed.kubeconfig import Kubectl
from hack.bed.running import RunningController
from tests.faults import ledgerworld as books
from tests.faults.ledgerworld import Spoil
from tests.faults.worlds import QUICK
from tests.integration.world import World, container, instance, until

DISK = "16m"
SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk of its own for the agent's folder."""
    folder = tmp_path_factory.mktemp("disk")
    books.mount("-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder)
    yield folder
    books.unmount(folder)


@pytest.fixture(scope="module")
def running(bed: Bed, echo_image: str, disk: Path) -> Iterator[RunningController]:
    """One controller, whose ledger the tests spoil one after the other."""
    settings = QUICK | {"STATE_DIR": str(disk / "state"), "LEDGER_LOST_AFTER": "5"}
    env = {f"CHALLENGE_{key}": value for key, value in settings.items()}
    controller = RunningController.start(
        bed, "ledger-faults", env=env, module="tests.faults.verbose"
    )
    try:
        controller.wait_until_serving()
        yield controller
    finally:
        controller.stop()
        remove_from_engine(bed.docker_host, bed.state.name)


@pytest.fixture
def world(
    bed: Bed, kubectl: Kubectl, namespace: str, running: RunningController, disk: Path
) -> Iterator[World]:
    """The controller, and a namespace of the test's own; nothing may be left after."""
    if not running.alive():
        running.start_again()
        running.wait_until_serving()
    made = World(bed, kubectl, namespace, running)
    made.state_dir = disk / "state"
    yield made
    made.tell()
    made.delete()
    made.assert_nothing_left()
    assert "Traceback" not in running.logs()
    for left in made.state_dir.glob("ledger.db.*-20*"):
        left.unlink()


@pytest.mark.parametrize(
    "spoil",
    [
        books.overwrite_with_old,
        pytest.param(books.remove, marks=SLOW),
        pytest.param(books.replace_by_old, marks=SLOW),
        pytest.param(books.spoil_header, marks=SLOW),
        pytest.param(books.spoil_page, marks=SLOW),
        pytest.param(books.truncate, marks=SLOW),
        pytest.param(books.remove_log, marks=SLOW),
    ],
)
def test_a_ledger_that_is_spoiled_while_the_agent_runs_is_mended_by_it(
    world: World, echo_image: str, spoil: Spoil
) -> None:
    kept = books.prepare(world, echo_image)
    before = len(world.controller.logs())
    with books.told_by_the_node(world, "LedgerHealthy=False"):
        books.burst(world, echo_image)
        spoil(books.file_of(world))
    books.settle(world, kept, echo_image)
    said = world.controller.logs()[before:]
    assert said.count("No port is given out until then") == 1
    mended = said.count("back, with all that it had") + said.count("Beginning anew")
    assert mended == 1
    assert world.controller.alive()


@pytest.mark.parametrize(
    "spoil",
    [
        books.restore_old,
        pytest.param(books.overwrite_with_old, marks=SLOW),
        pytest.param(books.remove, marks=SLOW),
        pytest.param(books.spoil_header, marks=SLOW),
        pytest.param(books.spoil_page, marks=SLOW),
        pytest.param(books.truncate, marks=SLOW),
        pytest.param(books.remove_log, marks=SLOW),
    ],
)
def test_a_ledger_that_is_spoiled_while_the_agent_is_down_is_put_right_at_its_start(
    world: World, echo_image: str, spoil: Spoil
) -> None:
    kept = books.prepare(world, echo_image)
    books.burst(world, echo_image)
    until(world.containers, lambda found: len(found) > 3)
    world.controller.kill()
    spoil(books.file_of(world))
    world.controller.start_again()
    world.controller.wait_until_serving()
    books.settle(world, kept, echo_image)


@SLOW
def test_a_disk_that_is_full_stops_launches_until_there_is_room(
    world: World, echo_image: str
) -> None:
    kept = books.prepare(world, echo_image)
    with books.told_by_the_node(world, "LedgerHealthy=False"), books.full(world.state_dir.parent):
        books.burst(world, echo_image)
        until(
            lambda: world.node_condition("LedgerHealthy"),
            lambda said: "free space in its folder" in said["message"],
        )
        kept.check()
    books.settle(world, kept, echo_image)


@SLOW
def test_a_disk_that_fills_up_in_the_middle_of_launches_and_removals_ends_none_of_them(
    world: World, echo_image: str
) -> None:
    world.apply(books.pair("leaving", echo_image))
    kept = books.prepare(world, echo_image)
    with books.told_by_the_node(world, "LedgerHealthy=False"):
        books.burst(world, echo_image)
        until(world.containers, lambda found: len(found) > 5)
        with books.full(world.state_dir.parent):
            world.kubectl("delete", "chinst", "leaving", "-n", world.namespace, "--wait=false")
            until(
                lambda: world.node_condition("LedgerHealthy"),
                lambda said: "free space in its folder" in said["message"],
            )
            until(lambda: world.running_containers("leaving"), lambda seen: seen == 0)
            kept.check()
            assert "leaving" in world.rows()
            assert world.controller.alive()
    world.wait("delete", "leaving")
    books.settle(world, kept, echo_image)


@SLOW
def test_an_engine_that_comes_back_while_the_ledger_cannot_be_written_does_not_end_the_agent(
    world: World, echo_image: str, bed: Bed
) -> None:
    world.apply(instance("through", container(echo_image)))
    world.wait("Ready", "through")
    with books.full(world.state_dir.parent):
        bed.engine().kill()
        bed.engine().start()
        said = until(
            lambda: world.node_condition("DockerReachable"),
            lambda said: "free space in its folder" in said["message"],
        )
        assert said["status"] == "False"
        assert world.controller.alive()
    books.wait_for_node(world, "DockerReachable=True")
    until(lambda: world.running_containers("through"), lambda seen: seen == 1)
    world.wait("Ready", "through")
    # It was started again: it may not listen yet.
    world.answers_again()
    books.agree(world)


@SLOW
def test_an_agent_that_starts_on_a_full_disk_touches_nothing_and_says_so(
    world: World, echo_image: str
) -> None:
    """It ends, or waits where what it wrote last has left it room for the start."""
    kept = books.prepare(world, echo_image)
    world.controller.kill()
    before = len(world.controller.logs())
    with books.full(world.state_dir.parent):
        world.controller.start_again()
        until(lambda: "free space in its folder" in world.controller.logs()[before:])
        kept.check()
    if world.controller.alive():
        world.controller.kill()
    world.controller.start_again()
    world.controller.wait_until_serving()
    books.settle(world, kept, echo_image)


@SLOW
def test_an_agent_does_not_start_in_a_read_only_folder_and_says_so(
    world: World, echo_image: str
) -> None:
    kept = books.prepare(world, echo_image)
    world.controller.kill()
    with books.read_only(world.state_dir):
        world.controller.start_again()
        assert world.controller.wait(90), "it serves"
        assert f"Read-only file system: '{world.state_dir}" in world.controller.logs()
        kept.check()
    world.controller.start_again()
    world.controller.wait_until_serving()
    books.settle(world, kept, echo_image)


@SLOW
def test_a_folder_that_turns_read_only_stops_launches_until_it_can_be_written(
    world: World, echo_image: str, bed: Bed, tmp_path: Path
) -> None:
    world.controller.stop()
    env = dict(world.controller.env)
    world.state_dir = tmp_path / "state"  # chattr is for this file system, not for the small disk
    world.controller.start_again(env | {"CHALLENGE_STATE_DIR": str(world.state_dir)})
    try:
        world.controller.wait_until_serving()
        kept = books.prepare(world, echo_image)
        file = books.file_of(world)
        log = file.with_name("ledger.db-wal")
        with (
            books.told_by_the_node(world, "LedgerHealthy=False"),
            books.immutable(file, log, world.state_dir),
        ):
            books.burst(world, echo_image)
            until(
                lambda: world.node_condition("LedgerHealthy"),
                lambda said: str(file) in said["message"],
            )
            kept.check()
        books.settle(world, kept, echo_image)
        world.delete()
        world.assert_nothing_left()
    finally:
        world.controller.stop()
        world.controller.start_again(env)
        world.controller.wait_until_serving()
