"""Each call of a launch fails in turn: what was made is gone, and the ports are free, before the
next try; or, where the engine is away, everything is kept for it."""

import itertools

import pytest

from controller.api import reasons
from controller.runtime.errors import EngineError, EngineUnavailable, OutcomeUnknown
from tests.integration.reconcile.node import Node, When, template

REFUSED = EngineError(500, "out of order")
CUT = OutcomeUnknown("the connection was closed before the answer")
AWAY = EngineUnavailable("connection refused")

SINGLE, PAIR = ("web",), ("web", "db")
CALLS = {SINGLE: 3, PAIR: 5}
"""A bridge or network, and create and start of each container."""


@pytest.mark.parametrize("names", [SINGLE, PAIR], ids=["single", "pair"])
@pytest.mark.parametrize(
    ("fault", "when", "reason"),
    [
        (REFUSED, When.BEFORE, reasons.LAUNCH_FAILED),
        (REFUSED, When.AFTER, reasons.LAUNCH_FAILED),
        (CUT, When.AFTER, reasons.LAUNCH_TIMEOUT),
    ],
    ids=["refused", "refused when done", "cut when done"],
)
async def test_a_launch_that_fails_anywhere_leaves_nothing_and_frees_its_ports_at_once(
    here: Node,
    image: str,
    fault: EngineError | OutcomeUnknown,
    when: When,
    reason: str,
    names: tuple[str, ...],
) -> None:
    volumes = await here.volumes()
    key = here.apply(template(image, *names))
    for nth in itertools.count(1):
        here.engine.arm(nth, fault, when)
        status = await here.look(key)
        if not here.engine.disarm():
            break
        assert here.reason(key) == reason
        assert await here.containers(key) == []
        assert await here.own_networks() == []
        assert await here.volumes() == volumes
        assert (here.held(), status.ports) == (0, [])
        assert here.services.gate.held == 0
        here.monotonic.ahead += 1000.0  # the back-off is over
        here.services.bridges.forget()  # so that each try has the same calls
    assert nth - 1 == CALLS[names]
    status = await here.up(key)
    assert len(await here.containers(key)) == len(names)
    assert here.held() == len(status.ports) == len(names)
    await here.delete(key)
    assert await here.containers(key) == []
    assert await here.volumes() == volumes
    assert here.held() == 0


async def test_an_engine_that_goes_away_anywhere_finds_all_of_it_again(
    here: Node, image: str
) -> None:
    """Nobody can take anything away then: it is kept, ports and all, and gone on with."""
    key = here.apply(template(image, *PAIR))
    ports: list[int] = []
    for nth in itertools.count(1):
        here.engine.arm(nth, AWAY, When.BEFORE, lasting=True)
        status = await here.look(key)
        if not here.engine.disarm():
            break
        assert here.reason(key) == reasons.DOCKER_UNAVAILABLE
        assert here.held() == len(PAIR)
        ports = ports or [port.host_port for port in status.ports]
        assert [port.host_port for port in status.ports] == ports
        assert here.services.gate.held == 0
    assert nth > 1
    status = await here.up(key)
    assert [port.host_port for port in status.ports] == ports
    await here.delete(key)
    assert (here.held(), await here.own_networks()) == (0, [])


async def test_ports_stay_held_while_what_was_made_cannot_be_taken_away(
    here: Node, image: str
) -> None:
    """The engine refuses everything from the start of the second container on."""
    volumes = await here.volumes()
    key = here.apply(template(image, *PAIR))
    here.engine.arm(5, REFUSED, When.BEFORE, lasting=True)
    await here.look(key)
    assert here.engine.disarm()
    assert here.reason(key) == reasons.LAUNCH_FAILED
    left = await here.containers(key)
    assert {state.container: state.state for state in left} == {"web": "running", "db": "created"}
    assert here.held() == 2
    here.monotonic.ahead += 1000.0
    await here.up(key)
    assert len(await here.containers(key)) == 2
    await here.delete(key)
    assert (here.held(), await here.own_networks(), await here.volumes()) == (0, [], volumes)
