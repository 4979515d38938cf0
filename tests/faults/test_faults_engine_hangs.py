"""An engine that does not answer: frozen in the middle of launches, mute, or its socket gone."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.bed.bed import Bed
from hack.bed.engine import Engine
from tests.faults import engines
from tests.faults.engines import bodies, pair, single, wait_until_well
from tests.faults.worlds import Worlds
from tests.integration.world import World, until

HASTY = {"DOCKER_TIMEOUT": "5", "LAUNCH_TIMEOUT": "10"}
"""Seconds after which a call, and a launch, is given up: no engine that works needs as long, on a
machine in use either."""


@pytest.fixture
def engine(bed: Bed) -> Iterator[Engine]:
    """The node's engine; thawed at the end, whatever a test did to it."""
    yield bed.engine()
    bed.engine().thaw()


def reasons(world: World) -> dict[str, str]:
    """Why each instance of the namespace is as it is: the reason of Ready."""
    return {
        body["metadata"]["name"]: condition["reason"]
        for body in bodies(world)
        for condition in body["status"].get("conditions", [])
        if condition["type"] == "Ready"
    }


def freeze_in_a_launch(
    world: World, engine: Engine, image: str, action: str = "create", kind: str = "container"
) -> None:
    """Create instances, and have the engine freeze when it has just done that a few times."""
    made = [(pair if n % 2 else single)(image, f"i{n}") for n in range(6)]
    with engines.watching(engine, action, kind) as events:
        world.apply(*made)
        for _ in range(3):
            next(events)
        engine.freeze()


def wait_until_launches_time_out(world: World) -> list[str]:
    """Wait until launches were given up; who they were of."""

    def given_up() -> list[str]:
        return [name for name, reason in reasons(world).items() if reason == "LaunchTimeout"]

    return until(given_up)


def held_by(world: World, names: list[str]) -> dict[str, list[int]]:
    """The ports of these instances, on which status and ledger agree."""
    rows, told = world.rows(), engines.ports(world)
    held = {name: sorted(rows[name].ports.values()) for name in names}
    assert held == {name: sorted(told[name]) for name in names}
    return held


def test_launches_that_an_engine_froze_in_come_up_once_on_the_ports_they_held(
    begin: Worlds, engine: Engine, echo_image: str
) -> None:
    world = begin(**HASTY)
    freeze_in_a_launch(world, engine, echo_image)
    stuck = wait_until_launches_time_out(world)
    held = held_by(world, stuck)
    engine.thaw()
    wait_until_well(world)
    assert held_by(world, stuck) == held
    assert engines.restarts(world) == 0


@pytest.mark.slow
def test_one_that_is_deleted_beside_a_frozen_engine_keeps_its_ports_until_it_answers(
    begin: Worlds, engine: Engine, echo_image: str
) -> None:
    world = begin(**HASTY)
    freeze_in_a_launch(world, engine, echo_image)
    stuck = wait_until_launches_time_out(world)
    held = held_by(world, stuck)
    world.kubectl("delete", "chinst", stuck[0], "-n", world.namespace, "--wait=false")
    until(lambda: world.node_condition("DockerReachable").get("status"), lambda s: s == "False")
    # Nobody knows yet what became of the calls.
    assert held_by(world, stuck) == held
    engine.thaw()
    world.wait("delete", stuck[0])
    wait_until_well(world)
    assert held_by(world, stuck[1:]) == {name: held[name] for name in stuck[1:]}
    assert engines.restarts(world) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "action"), [("container", "create"), ("container", "start"), ("network", "create")]
)
def test_a_controller_killed_beside_a_frozen_engine_makes_nothing_twice(
    begin: Worlds, engine: Engine, echo_image: str, kind: str, action: str
) -> None:
    """What it had asked for is done by the engine when nobody waits for it any more."""
    world = begin(**HASTY)
    freeze_in_a_launch(world, engine, echo_image, action, kind)
    world.controller.kill()
    world.kubectl("delete", "chinst", "i0", "i1", "-n", world.namespace, "--wait=false")
    again = begin(STATE_DIR=str(world.controller.state_dir), RESYNC_INTERVAL="3", **HASTY)
    again.state_dir = world.state_dir
    until(lambda: again.node_condition("DockerReachable").get("status"), lambda s: s == "False")
    engine.thaw()
    again.wait("delete", "i0", "i1")
    wait_until_well(again)
    assert engines.restarts(again) == 0


@pytest.mark.slow
def test_a_node_whose_engine_froze_leaves_what_runs_alone(
    begin: Worlds, engine: Engine, echo_image: str
) -> None:
    world = begin(DOCKER_TIMEOUT="5")
    world.apply(single(echo_image, "single"), pair(echo_image, "pair"))
    wait_until_well(world)
    ports, ids = engines.ports(world), engines.ids(world)
    engine.freeze()
    until(lambda: world.node_condition("DockerReachable").get("status"), lambda s: s == "False")
    for name in ("single", "pair"):
        assert world.answers(name), "players go on while the engine hangs"
    engine.thaw()
    until(lambda: world.node_condition("DockerReachable").get("status"), lambda s: s == "True")
    wait_until_well(world)
    assert (engines.ports(world), engines.ids(world)) == (ports, ids)
    assert engines.restarts(world) == 0


class Door:
    """A socket's path that leads to the engine, to nobody who answers, or nowhere."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.path = folder / "docker.sock"
        self._engine = Path(engine.url.removeprefix("unix://"))
        self._mute = folder / "mute.sock"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._mute))
        self._listener.listen(512)  # the kernel takes connections, and nobody reads from them

    def lead_to_the_engine(self) -> None:
        self._lead(self._engine)

    def be_mute(self) -> None:
        self._lead(self._mute)

    def be_gone(self) -> None:
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        self._listener.close()

    def _lead(self, to: Path) -> None:
        self.be_gone()
        self.path.symlink_to(to)


@pytest.fixture
def door(tmp_path: Path, engine: Engine) -> Iterator[Door]:
    """The socket that the controller is told."""
    made = Door(tmp_path, engine)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["be_mute", "be_gone"])
def test_a_socket_that_is_mute_or_gone_is_waited_for(
    door: Door, begin: Worlds, echo_image: str, way: str
) -> None:
    """At the start, and again while instances run, one is launched and one is deleted."""
    getattr(door, way)()
    world = begin(DOCKER_HOST=f"unix://{door.path}", DOCKER_TIMEOUT="5")
    away = until(
        lambda: world.node_condition("DockerReachable"), lambda c: c.get("status") == "False"
    )
    assert str(door.path) in away["message"]
    world.apply(single(echo_image, "single"), pair(echo_image, "pair"))
    world.wait_reason("single", "Unschedulable")
    door.lead_to_the_engine()
    wait_until_well(world)
    ports, ids = engines.ports(world), engines.ids(world)

    getattr(door, way)()
    until(lambda: world.node_condition("DockerReachable").get("status"), lambda s: s == "False")
    world.kubectl("delete", "chinst", "single", "-n", world.namespace, "--wait=false")
    world.apply(single(echo_image, "meanwhile", nodeName="node-1"))
    assert world.answers("pair")
    door.lead_to_the_engine()
    world.wait("delete", "single")
    world.wait("Ready", "meanwhile")
    wait_until_well(world)
    assert engines.ports(world)["pair"] == ports["pair"]
    assert {key: engines.ids(world)[key] for key in ids if key[0] == "pair"} == {
        key: ids[key] for key in ids if key[0] == "pair"
    }
    assert engines.restarts(world) == 0
