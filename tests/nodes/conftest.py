"""A bed of three nodes for the tests: an API server, three engines, a manager, three agents.

One bed serves the whole run, and one fleet of controllers; what a test breaks is healed after it.
"""

from collections.abc import Iterator

import pytest

from hack.bed.bed import Bed
from hack.bed.fleet import Fleet, start_nodes
from hack.bed.image import IMAGE
from hack.bed.temporary import temporary_bed
from tests.nodes.nodes import TIMERS, Nodes

NODES = 3


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """A control plane and three nodes, each with an engine that has the test image."""
    with temporary_bed("nodes", own_engines=True) as bed:
        bed.start_control_plane()
        start_nodes(bed, NODES)
        yield bed


@pytest.fixture(scope="session")
def echo_image(bed: Bed) -> str:
    """The name of the test image, which is on each node."""
    return IMAGE


@pytest.fixture(scope="session")
def whole_fleet(bed: Bed) -> Iterator[Fleet]:
    """A manager and three agents with short timers; for the fixture below."""
    fleet = Fleet(bed, TIMERS)
    fleet.start()
    yield fleet
    fleet.stop()


@pytest.fixture
def fleet(whole_fleet: Fleet) -> Iterator[Fleet]:
    """All of it at work when the test begins: stop, kill, freeze, cut what you like.

    `fleet.start_agent(1, {"CHALLENGE_…": "…"})` starts one that has ended with other settings.
    """
    yield whole_fleet
    whole_fleet.heal()


@pytest.fixture
def nodes(fleet: Fleet) -> Iterator[Nodes]:
    """A namespace of the test's own, and each node seen from outside; nothing may be left."""
    nodes = Nodes.with_namespace(fleet)
    yield nodes
    nodes.tell()
    fleet.heal()
    nodes.delete()
    nodes.assert_nothing_left()
    nodes.assert_quiet_logs()
