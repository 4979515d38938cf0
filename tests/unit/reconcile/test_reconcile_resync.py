"""Whom the comparison of API server, ledger and engine wakes."""

from typing import Any

import pytest

from controller.agent.resync import resync
from controller.reconcile.queue import Key
from tests.unit.reconcile.world import UID, World


class Woken:
    """A work queue that only notes."""

    def __init__(self) -> None:
        self.uids: list[str] = []

    def busy(self, uid: str) -> bool:
        """Nobody is."""
        return False

    def wake(self, key: Key) -> None:
        self.uids.append(key.uid)


async def woken(node: World) -> list[str]:
    queue: Any = Woken()
    await resync(node.services, queue)
    found: list[str] = queue.uids
    return found


@pytest.fixture
def compared(node: World) -> World:
    node.cluster.objects["/api/v1/namespaces/kube-system"] = {"metadata": {"uid": "cluster"}}
    return node


async def test_after_the_store_has_gone_back_everybody_is_looked_at_once(compared: World) -> None:
    """A version that was seen can be given to another write then."""
    work = compared.work()
    version = work.read["metadata"]["resourceVersion"]
    seen = compared.services.seen
    seen[UID] = version
    assert await woken(compared) == []
    compared.cluster.history.turn()
    assert await woken(compared) == [UID]
    seen[UID] = version
    assert await woken(compared) == []


async def test_an_object_older_than_it_was_seen_tells_that_the_store_has_gone_back(
    compared: World,
) -> None:
    compared.work()
    compared.services.seen |= {UID: "100", "another": "100"}
    assert await woken(compared) == [UID]
    assert compared.cluster.history.turns == 1
    assert compared.services.seen == {}
