"""Input that nobody meant well: each is told what is wrong with it, and harms nobody else."""

from collections.abc import Iterator

import pytest

from hack.bed.bed import Bed
from hack.bed.running import RunningController
from tests.faults.oddities import oddities, others
from tests.faults.verdicts import until_told
from tests.integration.world import World, container, instance


@pytest.fixture(scope="module")
def running(bed: Bed, echo_image: str) -> Iterator[RunningController]:
    """One controller for all tests of this module."""
    settings = {
        "CHALLENGE_BACKOFF_INITIAL": "1",
        "CHALLENGE_MANAGER_LEASE_DURATION": "5",
        "CHALLENGE_RESTART_BUDGET": "1",
    }
    controller = RunningController.start(bed, "hostile", env=settings)
    controller.wait_until_serving()
    yield controller
    controller.stop()


def test_what_cannot_be_is_told_and_the_next_instance_works(world: World, echo_image: str) -> None:
    odd = oddities(echo_image)
    world.create(*others(), *(each.made for each in odd))
    until_told(
        world,
        {each.name: each.reason or "Ready" for each in odd},
        {each.name: each.message for each in odd},
    )
    for each in odd:
        if not each.reason:
            assert world.answers(each.name)
    world.apply(instance("good", container(echo_image)))
    world.wait("Ready", "good")
    world.answers("good")
