"""Containers that run and that the engine does not know of, as a crash in mid-start leaves them.

dockerd that was killed between the start of a process and its own note of that comes back without
the note. The same is made here at a known moment, by taking the note away while dockerd is down.
"""

import json
import shutil
from collections.abc import Iterator

import pytest

from controller.runtime import processes
from hack.bed.bed import Bed
from hack.bed.engine import Engine
from tests.faults import engines
from tests.faults.engines import folder_of, pair, single, wait_until_well
from tests.faults.worlds import Worlds
from tests.integration.world import until

pytestmark = pytest.mark.slow


@pytest.fixture
def engine(bed: Bed, echo_image: str) -> Iterator[Engine]:
    """The node's engine, up again at the end."""
    engine = engines.owned(bed)
    yield engine
    if not engine.alive():
        engines.start(bed)


def running(engine: Engine) -> set[str]:
    """The containers of which processes are there, whatever the engine says."""
    return set(processes.alive("challenges", f"{folder_of(engine)}/data"))


def take_back_that_it_was_started(engine: Engine, container: str) -> None:
    path = folder_of(engine) / "data" / "containers" / container / "config.v2.json"
    config = json.loads(path.read_text())
    config["State"] |= {"Running": False, "Pid": 0, "StartedAt": "0001-01-01T00:00:00Z"}
    path.write_text(json.dumps(config))


def test_what_the_engine_has_lost_answers_nobody(
    bed: Bed, begin: Worlds, engine: Engine, echo_image: str
) -> None:
    """Of one no start is noted, of another nothing; a third is deleted meanwhile."""
    world = begin()
    world.apply(pair(echo_image, "kept"), pair(echo_image, "gone"), single(echo_image, "deleted"))
    world.wait("Ready")
    ids = engines.ids(world)
    assert running(engine) == set(ids.values())
    engine.kill()
    for container in ("front", "back"):
        take_back_that_it_was_started(engine, ids["kept", container])
        shutil.rmtree(folder_of(engine) / "data" / "containers" / ids["gone", container])
    take_back_that_it_was_started(engine, ids["deleted", "echo"])
    world.kubectl("delete", "chinst", "deleted", "-n", world.namespace, "--wait=false")
    engines.start(bed)

    world.wait("delete", "deleted")
    wait_until_well(world)
    until(lambda: running(engine), lambda seen: seen == set(engines.ids(world).values()))
    assert engines.restarts(world) == 0, "the engine has lost them, it was not they that ended"
    assert "which runs and the engine does not know it" in world.controller.logs()
