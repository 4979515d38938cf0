"""Calls that the engine does not answer: their ports stay held, their slots do not."""

import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from controller.api import reasons
from controller.ledger import Ledger
from controller.reconcile import teardown
from controller.reconcile.queue import Key
from controller.runtime import labels
from controller.runtime.errors import OutcomeUnknown
from hack.bed.bed import Bed
from hack.bed.engine import Engine as BedEngine
from tests.integration.reconcile.node import PATIENCE, Node, node, template

HASTE = 1.0
"""Seconds for an answer while the engine hangs: until then, and after, it may be slow."""


@pytest.fixture
def dockerd(bed: Bed) -> Iterator[BedEngine]:
    """The engine's process; thawed at the end, whatever the test did to it."""
    engine = bed.engine()
    yield engine
    engine.thaw()


@pytest.fixture
async def hasty(bed: Bed, dockerd: BedEngine, ledger: Ledger) -> AsyncIterator[Node]:
    """A node that waits a second for an answer once its engine hangs; see `thaw`."""
    made = node(bed.docker_host, ledger)
    yield made
    thaw(made, dockerd)
    await made.clear()


def freeze(hasty: Node, dockerd: BedEngine) -> None:
    """Have the engine hang."""
    dockerd.freeze()
    hasty.engine.timeout = HASTE


def thaw(hasty: Node, dockerd: BedEngine) -> None:
    """Have it go on, and the node wait for its answers."""
    hasty.engine.timeout = PATIENCE
    dockerd.thaw()


@pytest.fixture
def answer() -> Iterator[threading.Event]:
    """Lets the calls that are held back go on."""
    released = threading.Event()
    yield released
    released.set()


async def frozen_in_create(hasty: Node, dockerd: BedEngine, image: str) -> Key:
    """An instance whose create was sent to an engine that does not answer any more."""
    await hasty.up(hasty.apply(template(image, "web"), name="first"))  # has all that is shared
    key = hasty.apply(template(image, "web"))
    name = labels.container_name(key.uid, "web")
    hasty.engine.before = lambda called: freeze(hasty, dockerd) if called == name else None
    await hasty.look(key)
    hasty.engine.before = None
    return key


async def test_a_create_that_was_not_answered_keeps_its_port_and_comes_up_in_the_end(
    hasty: Node, dockerd: BedEngine, image: str
) -> None:
    key = await frozen_in_create(hasty, dockerd, image)
    assert hasty.reason(key) == reasons.LAUNCH_TIMEOUT
    assert hasty.engine.unanswered == 1
    (port,) = hasty.status(key).ports
    for _ in range(2):
        assert (hasty.held(), hasty.services.gate.held) == (2, 0)
        with pytest.raises(OutcomeUnknown):
            await teardown.free(hasty.services, key.uid)
        await hasty.look(key)
    hasty.woken.clear()
    thaw(hasty, dockerd)
    await hasty.woken.wait()
    assert hasty.engine.unanswered == 0
    assert [state.state for state in await hasty.containers(key)] == ["created"]
    status = await hasty.up(key)
    assert status.ports == [port]
    assert (len(await hasty.containers(key)), hasty.held()) == (1, 2)


async def test_one_that_is_deleted_meanwhile_leaves_nothing_and_gives_nothing_back_too_early(
    hasty: Node, dockerd: BedEngine, image: str
) -> None:
    key = await frozen_in_create(hasty, dockerd, image)
    hasty.mark_deleted(key)
    await hasty.look(key)
    assert (hasty.held(), key.uid in hasty.forgotten) == (2, False)
    thaw(hasty, dockerd)
    await hasty.until(key, lambda _: key.uid in hasty.forgotten)
    assert (await hasty.containers(key), hasty.held()) == ([], 1)


async def test_an_engine_that_hangs_at_one_name_goes_on_with_the_others(
    here: Node, image: str, answer: threading.Event
) -> None:
    here.services.gate.resize(1)
    stuck = here.apply(template(image, "web"), name="stuck")
    here.engine.hold(labels.container_name(stuck.uid, "web"), answer)
    await here.look(stuck)
    assert here.reason(stuck) == reasons.LAUNCH_TIMEOUT
    other = here.apply(template(image, "web"), name="other")
    await here.up(other)
    await here.look(stuck)
    assert (here.reason(stuck), here.services.gate.held) == (reasons.LAUNCH_TIMEOUT, 0)
    answer.set()
    await here.up(stuck)


async def test_an_engine_that_hangs_at_too_many_names_is_given_nothing_more(
    here: Node, image: str, answer: threading.Event
) -> None:
    here.services.gate.resize(1)
    stuck = [here.apply(template(image, "web"), name=f"stuck-{n}") for n in range(2)]
    for key in stuck:
        here.engine.hold(labels.container_name(key.uid, "web"), answer)
        await here.look(key)
        assert here.reason(key) == reasons.LAUNCH_TIMEOUT
    other = here.apply(template(image, "web"), name="other")
    status = await here.look(other)
    assert here.reason(other) == reasons.DOCKER_UNAVAILABLE
    assert "left 2 calls unanswered" in str(status.conditions)
    assert await here.containers(other) == []
    here.woken.clear()
    answer.set()
    await here.woken.wait()
    for key in (other, *stuck):
        await here.up(key)
    assert (here.held(), here.services.gate.held, here.engine.unanswered) == (3, 0, 0)


async def test_a_launch_gives_its_slot_on_when_its_time_is_over(
    bed: Bed, ledger: Ledger, image: str, answer: threading.Event
) -> None:
    here = node(bed.docker_host, ledger, launch_timeout=8.0)
    here.services.gate.resize(1)
    await here.up(here.apply(template(image, "web"), name="first"))  # has all that is shared
    key = here.apply(template(image, "web"))
    here.engine.hold(labels.container_name(key.uid, "web"), answer, patience=60.0)
    await here.look(key)
    assert here.reason(key) == reasons.LAUNCH_TIMEOUT
    assert (here.services.gate.held, here.engine.unanswered, here.held()) == (0, 1, 2)
    await here.up(here.apply(template(image, "web"), name="other"))
    ports = here.status(key).ports
    answer.set()
    assert (await here.up(key)).ports == ports
    await here.clear()
