"""Launches that were cut off: taken away by their own reconcile, and no others are."""

import pytest

from controller.agent import resync
from controller.api import reasons
from controller.cluster.client import INSTANCES
from controller.cluster.errors import ApiUnavailable
from controller.reconcile import collect
from controller.reconcile.gate import Work
from controller.reconcile.readiness import Target
from tests.unit.reconcile.collecting import KEY, compared, count, half_launched, ready, served, told
from tests.unit.reconcile.world import UID, World, template


async def test_a_crashed_launch_is_taken_away_and_is_due_again_in_a_while(node: World) -> None:
    half_launched(node, web="created")
    assert await compared(node) == {UID}
    reconciler, _ = served(node)
    after = await reconciler.reconcile(KEY)
    assert node.engine.calls == [f"DELETE containers/chal-{UID}-web"]
    assert node.services.ledger.get(UID) is None
    assert ready(node)["reason"] == reasons.LAUNCH_CRASHED
    assert "launched afresh" in ready(node)["message"]
    assert after == pytest.approx(1.0), "the first pause of its budget"
    assert await told(node) == [reasons.LAUNCH_CRASHED]
    assert (count(node, "launch"), count(node, "container"), count(node, "port")) == (1, 1, 1)
    assert node.services.gate.held == 0
    assert await compared(node) == set(), "no launch has begun since"


async def test_a_crashed_launch_waits_for_its_turn_among_the_removals(node: World) -> None:
    half_launched(node, web="created")
    await compared(node)
    reconciler, _ = served(node)
    node.services.gate.request("other", Work.REMOVAL)
    await reconciler.reconcile(KEY)
    assert (node.engine.calls, node.services.gate.waiting_for(Work.REMOVAL)) == ([], 1)
    node.services.gate.release("other")
    await reconciler.reconcile(KEY)
    assert node.engine.states == {}


async def test_a_launch_that_went_on_since_it_was_found_is_left_alone(node: World) -> None:
    half_launched(node, web="created")
    await compared(node)
    reconciler, _ = served(node)
    node.engine.states = {"web": "running"}
    await reconciler.reconcile(KEY)
    assert node.engine.states == {"web": "running"}
    assert node.services.findings.crashed == set()
    assert node.services.ledger.get(UID) is not None


async def test_a_queue_of_a_thousand_is_no_crash(node: World) -> None:
    """Restarted ones, say: their launches began long ago, and wait for a slot since."""
    book = node.services.ledger
    node.services.gate.request("other", Work.LAUNCH)
    for number in range(1000):
        uid = f"u{number}"
        meta = {"name": uid, "namespace": "team", "uid": uid}
        status = {"nodeName": "n1", "template": template()}
        node.cluster.put(INSTANCES, {"metadata": meta, "spec": {}, "status": status})
        book.reserve(uid, [], namespace="team", name=uid, now=0)
        book.begin_attempt(uid, now=1)
        node.services.gate.request(uid, Work.LAUNCH)
    node.services.gate.release("u7")
    await compared(node)
    assert node.services.findings.crashed == {"u7"}, "that one has left the queue"


async def test_whoever_waits_for_something_has_not_crashed(node: World) -> None:
    services = node.services
    half_launched(node)
    assert not collect.is_busy(services, UID)
    services.attempts.fail(UID, reasons.LAUNCH_FAILED, "no", now=services.monotonic())
    assert collect.is_busy(services, UID), "its next try has a time"
    services.attempts.succeed(UID)
    services.images.awaited_by = lambda waiter: waiter == UID  # type: ignore[method-assign]
    assert collect.is_busy(services, UID), "its image is being pulled"
    del services.images.awaited_by
    services.readiness.watch(UID, [Target("web", "chal", "192.0.2.7", ())], set())
    assert collect.is_busy(services, UID), "it is being probed"
    services.readiness.forget(UID)
    services.engine.pending_below = lambda prefix: UID in prefix  # type: ignore[method-assign]
    assert collect.is_busy(services, UID), "the engine has not answered a call on it"
    del services.engine.pending_below
    assert not collect.is_busy(services, UID)


async def test_while_api_server_or_engine_is_away_no_launch_has_crashed(node: World) -> None:
    half_launched(node, web="created")
    _, queue = served(node)

    async def away(_method: str, _path: str) -> None:
        raise ApiUnavailable("away")

    node.cluster.before = away
    assert not await resync.once(node.services, queue)
    node.cluster.before = None
    node.services.engine_problem = "away"
    assert not await resync.once(node.services, queue)
    assert node.services.findings.crashed == set()
    assert queue.known() == []
