"""Who may not be a node: a second agent on an engine, a copied state folder, another name."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hack.bed import network
from hack.bed.bed import Bed
from hack.bed.engine import Engine
from hack.bed.running import RunningController
from tests.integration.world import World, container, instance

Start = Callable[..., RunningController]


@pytest.fixture(scope="module")
def running(bed: Bed, echo_image: str) -> Iterator[RunningController]:
    """The agent that is there first."""
    controller = RunningController.start(bed, "identity-first")
    bed.wait_for_controller("identity-first")
    yield controller
    controller.stop()


@pytest.fixture
def start(bed: Bed) -> Iterator[Start]:
    """`start(NAME="value")` starts an agent with these settings over the first one's."""
    started: list[RunningController] = []

    def begin(**settings: str) -> RunningController:
        env = {f"CHALLENGE_{key}": value for key, value in settings.items()}
        name = f"identity-{uuid.uuid4().hex[:8]}"
        started.append(RunningController.start(bed, name, role="agent", env=env))
        return started[-1]

    yield begin
    for each in started:
        each.stop()


@pytest.fixture
def other_engine(bed: Bed, tmp_path: Path) -> Iterator[Engine]:
    """A second engine, that goes with the test."""
    if not bed.engine().owned:
        pytest.skip("there is only the machine's own engine")
    # Docker 20.10 has its ID from a key that is the machine's, so two engines need one each.
    bed.start_engine(2, daemon={"deprecated-key-path": str(tmp_path / "key.json")})
    engine = bed.engine(2)
    yield engine
    engine.stop()
    assert bed.state.network is not None
    network.remove_node(bed.state.network, 2)
    bed.state.nodes.remove(bed.node(2))
    bed.state.save()
    del bed._engines[2]


def refused(second: RunningController) -> str:
    """What an agent has said that has ended by itself."""
    assert second.wait(90), "it serves"
    said = second.logs()
    assert "Traceback" not in said
    return said


def copied(folder: Path, to: Path) -> Path:
    """A copy of a state folder, as of a cloned machine or a restored backup."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("instances"))
    return to


def test_a_second_agent_in_the_same_state_folder_is_refused(world: World, start: Start) -> None:
    said = refused(start(STATE_DIR=str(world.state_dir)))
    assert f"Another agent (process {world.controller.process.pid})" in said
    assert str(world.state_dir / "agent.lock") in said
    assert world.controller.alive()


def test_a_second_agent_on_the_engine_is_refused_whatever_its_folder_and_name(
    world: World, start: Start, tmp_path: Path
) -> None:
    said = refused(start(STATE_DIR=str(tmp_path), NODE_NAME="node-9"))
    assert f"Another agent (process {world.controller.process.pid})" in said
    assert "a folder and an engine of its own" in said
    assert "node-9" not in world.kubectl("get", "lease,chnode", "-A", "-o", "name").stdout


def test_a_copied_state_folder_on_the_same_engine_is_refused(
    world: World, start: Start, tmp_path: Path
) -> None:
    said = refused(start(STATE_DIR=str(copied(world.state_dir, tmp_path / "copy"))))
    assert f"Another agent (process {world.controller.process.pid})" in said


def test_a_copied_state_folder_on_another_engine_is_refused(
    world: World, start: Start, other_engine: Engine, tmp_path: Path
) -> None:
    copy = copied(world.state_dir, tmp_path / "copy")
    said = refused(start(STATE_DIR=str(copy), DOCKER_HOST=other_engine.url))
    assert f"The ledger {copy / 'ledger.db'} was made for engine" in said
    assert "a copy of another node's" in said
    assert world.controller.alive()


def test_a_node_that_was_renamed_is_refused_with_how_to_rename_it(
    world: World, start: Start, echo_image: str, tmp_path: Path
) -> None:
    world.apply(instance("stays", container(echo_image)))
    world.wait("Ready", "stays")
    ids = [c["Id"] for c in world.containers()]
    name = world.controller.name
    world.controller.stop()
    try:
        same = refused(start(STATE_DIR=str(world.state_dir), NODE_NAME="renamed"))
        assert "was made for node 'node-1', but this is 'renamed'" in same
        fresh = refused(start(STATE_DIR=str(tmp_path), NODE_NAME="renamed"))
        assert "The engine has containers of node 'node-1', but this is 'renamed'" in fresh
        for said in (same, fresh):
            assert "CHALLENGE_NODE_NAME=node-1" in said
            assert "kubectl challenge drain node-1 --force" in said
            assert "forget-node node-1" in said
        assert [c["Id"] for c in world.containers()] == ids
    finally:
        world.controller = RunningController.start(world.bed, name)
    world.bed.wait_for_controller(name)
    world.answers("stays")
    assert "renamed" not in world.kubectl("get", "chnode", "-o", "name").stdout
