"""The bed of one node, and registries on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.bed.bed import Bed
from hack.bed.registry import Registry
from tests.integration.registries import HeldDoor
from tests.onenode import *  # noqa: F403  # its fixtures are those of this folder


@pytest.fixture(scope="session")
def registry(bed: Bed, echo_image: str) -> Iterator[Registry]:
    """A registry that anybody may pull from, on the loopback address of the engine's machine."""
    made = Registry(bed, "registry")
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def locked_registry(bed: Bed, echo_image: str) -> Iterator[Registry]:
    """A registry that wants the password of `hack.bed.registry.ACCOUNT`."""
    made = Registry(bed, "locked-registry", locked=True)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def door(registry: Registry, tmp_path: Path) -> Iterator[HeldDoor]:
    """Another address of the open registry, where a layer can be held in its middle."""
    made = HeldDoor(registry, tmp_path)
    yield made
    made.close()
