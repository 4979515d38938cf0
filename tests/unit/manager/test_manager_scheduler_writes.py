"""Placement's writes: refused, conflicting, unanswered, or lost by an API server that is away."""

import asyncio

import pytest

from controller.api import reasons
from controller.cluster.client import INSTANCES
from controller.cluster.errors import ApiError, ApiUnavailable, Conflict, Forbidden, Unauthorized
from controller.manager.placement import BACKLOG
from controller.manager.waiting import PATIENCE
from tests.unit.manager.objects import instance_body
from tests.unit.manager.placing import Placing
from tests.unit.reconcile.virtual_time import virtual


@virtual
async def test_an_object_that_changed_meanwhile_is_not_written_over_and_takes_no_place() -> None:
    placing = Placing("n1")
    placing.put("a")
    placing.cluster.put(INSTANCES, placing.cluster.read(INSTANCES, "a", "team"))
    await placing.round()
    assert (placing.node_of("a"), placing.count("n1")) == (None, 0)
    placing.bring_now("a")
    await placing.round()
    assert (placing.node_of("a"), placing.count("n1")) == ("n1", 1)
    placing.task.cancel()


@virtual
async def test_an_api_server_that_is_away_leaves_no_phantom_on_the_node() -> None:
    """As many as a backlog once kept each other off the node after an outage."""
    placing = Placing("n1")
    for number in range(2 * BACKLOG):
        placing.put(f"i-{number}")

    async def away(method: str, _path: str) -> None:
        if method == "PUT":
            raise ApiUnavailable("away")

    placing.cluster.before = away
    await placing.round(pause=3.0)
    placing.cluster.before = None
    await asyncio.sleep(5)
    assert (placing.count("n1"), len(placing.pending)) == (2 * BACKLOG, 0)
    placing.task.cancel()


@virtual
async def test_a_write_that_was_carried_out_though_its_answer_was_lost_still_counts() -> None:
    placing = Placing("n1")
    placing.put("a")

    async def cut(method: str, _path: str) -> None:
        if method == "PUT":
            placing.bring_now("a")  # faster than the answer
            raise ApiUnavailable("cut")

    placing.cluster.after = cut
    await placing.round()
    assert placing.node_of("a") == "n1"
    assert placing.count("n1") == 1
    placing.task.cancel()


@virtual
async def test_one_deleted_while_its_status_is_written_does_not_come_back() -> None:
    """A ghost in the queue would be tried for ever."""
    placing = Placing()
    placing.put("a")

    async def deleted(method: str, _path: str) -> None:
        if method == "PUT":
            placing.scheduler.gone("uid-a")

    placing.cluster.after = deleted
    await placing.round(pause=PATIENCE + 0.1)
    assert placing.reason("a") == reasons.UNSCHEDULABLE
    assert len(placing.pending) == 0
    placing.task.cancel()


@virtual
async def test_what_the_watch_brought_during_a_write_is_not_replaced_by_the_writes_answer() -> None:
    placing = Placing()
    placing.put("a")
    newer = instance_body("a", generation=9, resourceVersion="99")

    async def changed(method: str, _path: str) -> None:
        if method == "PUT":
            placing.bring(newer)

    placing.cluster.after = changed
    await placing.round(pause=PATIENCE + 0.1)
    assert next(placing.pending.in_turn()) is newer
    placing.task.cancel()


@virtual
async def test_nothing_is_kept_of_instances_that_are_gone() -> None:
    placing = Placing()
    for number in range(20):
        placing.put(f"i-{number}")
    await placing.round(pause=PATIENCE + 0.1)
    assert placing.cluster.count("PUT") == 20
    for number in range(20):
        placing.scheduler.gone(f"uid-i-{number}")
    await placing.round(pause=30)
    assert (len(placing.scheduler._waiting), placing.scheduler.known()) == (0, set())
    placing.task.cancel()


@virtual
async def test_a_token_that_has_ended_holds_placement_up_no_longer_than_that() -> None:
    placing = Placing("n1")
    placing.put("a")

    async def unknown(method: str, _path: str) -> None:
        if method == "PUT":
            raise Unauthorized(401, "Unauthorized", "Unauthorized", {})

    placing.cluster.before = unknown
    await placing.round(pause=3.0)
    assert placing.node_of("a") is None
    assert placing.count("n1") == 0, "nothing was written for sure"
    assert placing.cluster.count("PUT") <= 4
    placing.cluster.before = None
    await asyncio.sleep(2)
    assert placing.node_of("a") == "n1"
    placing.task.cancel()


@virtual
async def test_a_refused_write_does_not_end_placement() -> None:
    placing = Placing("n1")
    placing.put("bad")
    placing.put("good")

    async def refused(method: str, path: str) -> None:
        if method == "PUT" and "/bad/" in path:
            raise Conflict(409, "Conflict", "changed", {})

    placing.cluster.before = refused
    await placing.round()
    assert placing.node_of("good") == "n1"
    assert placing.count("n1") == 1
    placing.task.cancel()


@virtual
async def test_the_watch_being_behind_gives_no_port_away_twice() -> None:
    """It brings that an instance waits after we have written that it no longer does."""
    placing = Placing("n1", ports=0)
    placing.put("a")
    await placing.settled(pause=PATIENCE + 0.1)
    told = placing.cluster.read(INSTANCES, "a", "team")
    assert placing.reason("a") == reasons.PORTS_EXHAUSTED
    placing.node("n1", ports=1)
    await placing.round()
    placing.bring(told)
    placing.put("b")
    await placing.round()
    assert placing.placed("a", "b") == ["a"]
    assert (placing.count("n1"), "uid-a" in placing.pending) == (1, False)
    placing.task.cancel()


@virtual
async def test_a_write_nobody_answered_keeps_its_port_until_it_is_known() -> None:
    placing = Placing("n1", ports=1)
    placing.put("a")

    async def cut(method: str, path: str) -> None:
        if method == "PUT" and "/a/" in path:
            raise ApiUnavailable("cut")

    placing.cluster.after = cut
    await placing.settled()
    placing.cluster.after = None
    placing.put("b")
    await placing.round(pause=5)
    assert placing.placed("a", "b") == ["a"]
    placing.bring_now("a")
    await placing.settled()
    assert (placing.count("n1"), len(placing.pending)) == (1, 1)
    placing.task.cancel()


@virtual
async def test_a_write_over_what_has_changed_is_not_tried_again_before_the_watch_brings_it() -> (
    None
):
    placing = Placing("n1")
    placing.put("a")
    placing.cluster.put(INSTANCES, placing.cluster.read(INSTANCES, "a", "team"))
    for _ in range(5):
        await placing.round()
    assert placing.cluster.count("PUT") == 1
    placing.bring_now("a")
    await placing.settled()
    assert placing.node_of("a") == "n1"
    placing.task.cancel()


@pytest.mark.parametrize(
    "refusal",
    [Conflict(409, "Conflict", "why", {}), Forbidden(403, "Forbidden", "why", {})],
    ids=["conflict", "forbidden"],
)
def test_a_refusal_without_a_change_is_no_reason_to_wait_for_one(refusal: ApiError) -> None:
    @virtual
    async def check() -> None:
        placing = Placing("n1")
        placing.put("a")

        async def refused(method: str, _path: str) -> None:
            if method == "PUT":
                raise refusal

        placing.cluster.before = refused
        await placing.round(pause=5.0)
        assert placing.count("n1") == 0
        assert 2 <= placing.cluster.count("PUT") <= 5
        placing.cluster.before = None
        await asyncio.sleep(5.0)
        assert placing.node_of("a") == "n1"
        placing.task.cancel()

    check()
