"""A placed instance that another version has written stops nobody, and is itself left alone."""

import asyncio
import logging

import pytest

from controller.agent import resync
from controller.agent.agent import EXPECTED
from controller.cluster.client import CHALLENGES, INSTANCES
from controller.reconcile import reading, startup
from controller.reconcile.instance import InstanceReconciler
from controller.reconcile.queue import Key, WorkQueue
from tests.unit.reconcile.world import UID, World

KEY = Key(UID, "team", "web")


def odd(node: World) -> None:
    """It runs here, and its status has what this version's models do not take."""
    node.work()
    read = node.cluster.read(INSTANCES, "web", "team")
    node.cluster.put(INSTANCES, read | {"status": read["status"] | {"startTime": "yesterday"}})
    node.engine.states, node.engine.bound = {"web": "running"}, {"web": 10003}


async def test_the_start_passes_over_it(node: World, caplog: pytest.LogCaptureFixture) -> None:
    odd(node)
    await startup.reconcile(node.services)
    assert node.services.started
    assert node.engine.calls == []
    (line,) = [each.getMessage() for each in caplog.records if "web" in each.getMessage()]
    assert "ChallengeInstance web: status.startTime: " in line
    assert "\n" not in line


async def test_it_is_looked_at_again_and_again_with_a_line_each(
    node: World, caplog: pytest.LogCaptureFixture
) -> None:
    odd(node)
    node.cluster.objects["/api/v1/namespaces/kube-system"] = {"metadata": {"uid": "cluster"}}
    done = asyncio.Event()
    reconciler = InstanceReconciler(node.services, lambda _uid: None)

    async def reconcile(key: Key) -> float | None:
        try:
            return await reconciler.reconcile(key)
        finally:
            done.set()

    queue = WorkQueue(reconcile, node.services.attempts._backoff, expected=EXPECTED)
    with caplog.at_level(logging.WARNING):
        assert await resync.once(node.services, queue)
        await done.wait()
        await queue.stop(1.0)
    assert queue.busy(UID), "it is due again"
    assert node.engine.states == {"web": "running"}
    failed = [each for each in caplog.records if "Reconciling team/web failed" in each.getMessage()]
    assert [each.exc_info for each in failed] == [None]


async def test_a_challenge_that_cannot_be_read_is_told_like_that(node: World) -> None:
    work = node.work({"challengeRef": {"name": "chal"}})
    body = {"metadata": {"name": "chal", "namespace": "team", "uid": "c"}, "spec": "odd"}
    node.cluster.put(CHALLENGES, body)
    reconciler = InstanceReconciler(node.services, lambda _uid: None)
    with pytest.raises(reading.Unreadable, match="Challenge chal: spec: "):
        await reconciler.reconcile(KEY)
    assert work.services.ledger.get(UID) is None
