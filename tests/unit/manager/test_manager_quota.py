"""A user gets no more than the quota, whatever comes when, and holds up nobody else."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.api import reasons
from controller.cluster.client import EVENTS, INSTANCES
from controller.cluster.errors import ApiUnavailable, Conflict
from controller.manager.placement import BACKLOG
from controller.manager.quota import Quota, was_placed
from controller.manager.waiting import PATIENCE
from tests.unit.manager.objects import instance, template
from tests.unit.manager.placing import Placing
from tests.unit.reconcile.virtual_time import run, virtual


def test_a_user_counts_once_for_each_instance_until_it_is_gone() -> None:
    quota = Quota(2)
    for uid in ("a", "a", "b"):
        quota.take(uid, "ann")
    assert quota.count("ann") == 2
    refusal = quota.refusal("ann", "z")
    assert refusal is not None
    assert refusal.reason == reasons.QUOTA_EXCEEDED
    assert refusal.message == (
        "User 'ann' has 2 instances of 2 that each user may have "
        "(CHALLENGE_MAX_INSTANCES_PER_USER); it goes on when one of them is gone"
    )
    assert quota.refusal("bob", "z") is None
    assert quota.refusal("ann", "a") is None
    assert quota.release("a")
    assert quota.refusal("ann", "z") is None
    assert not quota.release("a")


@pytest.mark.parametrize(("limit", "user"), [(0, "ann"), (1, "")])
def test_no_limit_and_no_user_are_never_refused(limit: int, user: str) -> None:
    quota = Quota(limit)
    for uid in "abc":
        quota.take(uid, user)
    assert quota.refusal(user, "z") is None


def test_one_that_had_a_node_is_known_by_its_template() -> None:
    assert not was_placed(instance("a"))
    assert was_placed(instance("a", status={"nodeName": "n1"}))
    assert was_placed(instance("a", status={"template": template()}))


@virtual
async def test_the_excess_waits_and_goes_on_when_one_is_gone() -> None:
    placing = Placing("n1", quota=2)
    for name in "abc":
        placing.put(name, user="ann")
    await placing.settled(pause=PATIENCE + 0.1)
    assert placing.placed(*"abc") == ["a", "b"]
    assert placing.reason("c") == reasons.QUOTA_EXCEEDED
    assert placing.said("c", "Scheduled")["message"].startswith("User 'ann' has 2 instances of 2")
    await placing.recorder.flush()
    assert placing.cluster.count("POST", EVENTS.plural) == 1
    placing.bring_now("a")
    placing.bring_now("b")
    placing.remove("a")
    await placing.settled()
    assert placing.node_of("c") == "n1"
    placing.task.cancel()


@virtual
async def test_those_of_one_batch_do_not_pass_the_limit_together() -> None:
    placing = Placing("n1", "n2", "n3", quota=1)
    for name in "abcdefgh":
        placing.put(name, user="ann")
    await placing.settled()
    assert len(placing.placed(*"abcdefgh")) == 1
    placing.task.cancel()


@virtual
async def test_a_users_excess_neither_fills_the_backlog_nor_holds_up_others() -> None:
    placing = Placing("n1", quota=2)
    greedy = [f"greedy-{number}" for number in range(200)]
    for name in greedy:
        placing.put(name, user="greedy")
    await placing.settled(pause=3)
    modest = [f"modest-{number}" for number in range(2 * BACKLOG - 2)]
    for name in modest:
        placing.put(name, user=name)
    await placing.settled()
    assert placing.placed(*modest) == modest
    assert len(placing.placed(*greedy)) == 2
    placing.task.cancel()


@virtual
async def test_instances_of_other_namespaces_count_too() -> None:
    placing = Placing("n1", quota=1)
    placing.put("a", user="ann", namespace="elsewhere")
    await placing.settled()
    placing.put("b", user="ann")
    await placing.settled()
    assert placing.node_of("b") is None
    placing.task.cancel()


@virtual
async def test_a_lower_limit_after_a_restart_takes_nothing_away() -> None:
    placing = Placing("n1", quota=1)
    running: dict[str, Any] = {"nodeName": "n1", "template": template()}
    for name in "ab":
        placing.put(name, user="ann", status=running)
    placing.put("c", user="ann")
    await placing.settled(pause=PATIENCE + 0.1)
    assert placing.placed(*"abc") == ["a", "b"]
    placing.remove("a")
    await placing.settled()
    assert placing.node_of("c") is None
    placing.remove("b")
    await placing.settled()
    assert placing.node_of("c") == "n1"
    placing.task.cancel()


@virtual
async def test_one_that_moves_keeps_its_place_in_the_quota_and_is_not_asked_again() -> None:
    """What waits must not take the place of what ran when a node is lost."""
    placing = Placing("n1", "n2", quota=1)
    placing.put("ran", user="ann", spec={"nodeName": "n1"})
    await placing.settled()
    placing.bring_now("ran")
    placing.put("more", user="ann")
    await placing.settled()
    moved = placing.cluster.read(INSTANCES, "ran", "team")
    del moved["status"]["nodeName"]
    placing.nodes.by_name["n1"].alive = False
    placing.bring(placing.cluster.put(INSTANCES, moved))
    await placing.round(pause=PATIENCE + 0.1)
    assert placing.placed("ran", "more") == []
    assert placing.reason("more") == reasons.QUOTA_EXCEEDED
    placing.nodes.by_name["n1"].alive = True
    await placing.round()
    assert placing.placed("ran", "more") == ["ran"]
    placing.task.cancel()


@virtual
async def test_a_refused_write_gives_its_place_back() -> None:
    placing = Placing("n1", quota=1)
    placing.put("bad", user="ann")
    placing.put("good", user="ann")

    async def refused(method: str, path: str) -> None:
        if method == "PUT" and "/bad/" in path:
            raise Conflict(409, "Conflict", "changed", {})

    placing.cluster.before = refused
    await placing.settled()
    assert placing.placed("bad", "good") == ["good"]
    placing.task.cancel()


UIDS = st.integers(0, 5)
STEPS = st.one_of(
    st.tuples(st.just("create"), UIDS),
    st.tuples(st.just("watch"), UIDS),
    st.tuples(st.just("late"), UIDS),
    st.tuples(st.just("remove"), UIDS),
    st.tuples(st.just("move"), UIDS),
    st.tuples(st.just("fault"), st.sampled_from([0, 1, 2, 3])),
    st.tuples(st.just("pass"), st.just(0)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=40), st.integers(1, 2))
def test_no_order_of_events_passes_the_quota(steps: list[tuple[str, int]], limit: int) -> None:
    """Nor gives two instances the same port: counted from the objects, not from our accounts."""
    run(_play(steps, limit))


async def _play(steps: list[tuple[str, int]], limit: int) -> None:
    placing = Placing("n1", ports=3, quota=limit)
    old: dict[str, Any] = {}
    try:
        for what, number in steps:
            name = f"i-{number}"
            path = INSTANCES.path(name, "team")
            there = path in placing.cluster.objects
            if what == "create" and not there:
                placing.put(name, user="ann" if number % 2 else "bob")
                old[name] = placing.cluster.read(INSTANCES, name, "team")
            elif what == "watch" and there:
                placing.bring_now(name)
            elif what == "late" and there:
                placing.bring(old[name])
            elif what == "remove" and there:
                placing.remove(name)
                old.pop(name)
            elif what == "move" and there and placing.node_of(name):
                body = placing.cluster.read(INSTANCES, name, "team")
                placing.bring(body)
                del body["status"]["nodeName"]
                placing.bring(placing.cluster.put(INSTANCES, body))
            elif what == "fault":
                _break(placing, number)
            elif what == "pass":
                await placing.settled(pause=2.0)
            await asyncio.sleep(0)
            _check(placing, limit)
        placing.cluster.before = placing.cluster.after = None
        await placing.round(pause=5.0)
        _check(placing, limit)
    finally:
        placing.task.cancel()


def _break(placing: Placing, number: int) -> None:
    async def cut(method: str, path: str) -> None:
        if method == "PUT":
            raise ApiUnavailable("cut", status=429 if number == 3 else 0)

    placing.cluster.before = cut if number in (1, 3) else None
    placing.cluster.after = cut if number == 2 else None


def _check(placing: Placing, limit: int) -> None:
    placed = [b for b in placing.cluster.objects.values() if b.get("status", {}).get("nodeName")]
    users = [body["spec"]["user"] for body in placed]
    assert all(users.count(user) <= limit for user in set(users))
    assert len(placed) <= 3


@virtual
async def test_a_list_that_is_older_than_the_watch_frees_nothing() -> None:
    placing = Placing("n1", quota=1)
    placing.put("a", user="ann")
    listed = placing.cluster.read(INSTANCES, "a", "team")
    await placing.settled()
    placing.bring_now("a")
    placing.put("b", user="ann")
    placing.bring(listed)
    await placing.round()
    assert placing.placed("a", "b") == ["a"]
    assert (placing.count("n1"), placing.pending.uids()) == (1, {"uid-b"})
    placing.task.cancel()
