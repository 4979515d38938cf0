"""The bed of one node, on which the tests break everything in turn."""

from collections.abc import Iterator

import pytest

from hack.bed.bed import Bed
from hack.bed.kubeconfig import Kubectl
from tests.faults.worlds import QUICK, Start, Worlds
from tests.integration.world import World
from tests.onenode import *  # noqa: F403  # its fixtures are those of this folder


@pytest.fixture
def begin(
    bed: Bed,
    kubectl: Kubectl,
    namespace: str,
    controller: Start,
    echo_image: str,
) -> Iterator[Worlds]:
    """`begin(NAME="value")` starts a controller with these settings and gives the world with it."""
    worlds: list[World] = []

    def start(**settings: str) -> World:
        made = World(bed, kubectl, namespace, controller(**(QUICK | settings)))
        worlds.append(made)
        return made

    yield start
    worlds[-1].tell()
    if worlds[-1].controller.alive():
        worlds[-1].delete()
        worlds[-1].assert_nothing_left()
    for made in worlds:
        assert "Traceback" not in made.controller.logs()
