"""Nodes with a real engine, and an image with a shell and a volume."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from controller.ledger import Ledger
from hack.bed.bed import Bed
from hack.bed.engine import docker_client
from tests.integration.reconcile.node import Node, node
from tests.integration.runtime.support import shell_archive

IMAGE = "reconcile-shell:test"


@pytest.fixture(scope="session")
def image(bed: Bed) -> str:
    """An image with bash and sleep, and a volume of its own at /data."""
    repository, _, tag = IMAGE.partition(":")
    with docker_client(bed.docker_host) as client:
        client.import_image_from_data(
            shell_archive(), repository=repository, tag=tag, changes=["VOLUME /data"]
        )
    return IMAGE


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Eight ports."""
    with Ledger.open(tmp_path / "ledger.db", "12000-12007", seed=1) as opened:
        yield opened
        assert opened.check() == []


@pytest.fixture
async def here(bed: Bed, ledger: Ledger) -> AsyncIterator[Node]:
    """A node whose engine answers; what the test has left there goes."""
    made = node(bed.docker_host, ledger)
    yield made
    await made.clear()
