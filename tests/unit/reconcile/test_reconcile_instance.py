"""The reconcile as a whole: whom it serves, what it refuses to believe, and when it looks again."""

from typing import Any

import pytest

from controller.api import conditions, reasons
from controller.cluster.client import INSTANCES
from controller.cluster.errors import (
    ApiError,
    ApiUnavailable,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
)
from controller.reconcile import gate
from controller.reconcile.clock import milliseconds
from controller.reconcile.instance import (
    READ_AGAIN,
    READ_AGAIN_AT_LAST,
    UNPLACED_RETRY,
    InstanceReconciler,
)
from controller.reconcile.queue import Key
from tests.unit.reconcile.world import NOON, UID, World, template

KEY = Key(UID, "team", "web")


def reconciler(node: World) -> tuple[InstanceReconciler, list[str]]:
    forgotten: list[str] = []
    node.cluster.objects["/api/v1/namespaces/kube-system"] = {"metadata": {"uid": "cluster"}}
    return InstanceReconciler(node.services, forgotten.append), forgotten


def running(node: World) -> None:
    node.services.ledger.reserve(UID, ["web-80-tcp"], namespace="team", name="web", now=0)
    node.services.ledger.begin_attempt(UID, now=1)
    node.engine.states = {"web": "running"}


async def test_a_404_that_does_not_name_the_object_tears_nothing_down(node: World) -> None:
    """A missing CRD, or a proxy's own page, answers 404 for everything."""
    running(node)
    served, forgotten = reconciler(node)

    async def missing(_method: str, path: str) -> None:
        if "challengeinstances" in path:
            raise NotFound(404, "NotFound", "404 page not found", {})

    node.cluster.before = missing
    with pytest.raises(NotFound):
        await served.reconcile(KEY)
    assert node.engine.states == {"web": "running"}
    assert forgotten == []


async def test_another_cluster_tears_nothing_down(node: World) -> None:
    """A wrong kubeconfig knows none of this node's instances."""
    running(node)
    served, _ = reconciler(node)
    node.cluster.objects["/api/v1/namespaces/kube-system"] = {"metadata": {"uid": "other"}}
    with pytest.raises(ApiError, match="another cluster"):
        await served.reconcile(KEY)
    assert node.engine.states == {"web": "running"}
    assert node.services.ledger.get(UID) is not None


async def test_an_object_that_is_gone_from_the_right_cluster_is_cleared_away(node: World) -> None:
    running(node)
    served, forgotten = reconciler(node)
    await served.reconcile(KEY)
    assert (node.engine.states, node.services.ledger.get(UID), forgotten) == ({}, None, [UID])


async def test_one_of_the_same_name_is_another_instance(node: World) -> None:
    running(node)
    served, _ = reconciler(node)
    node.work()
    body = node.cluster.read(INSTANCES, "web", "team")
    body["metadata"]["uid"] = "another"
    node.cluster.put(INSTANCES, body)
    await served.reconcile(KEY)
    assert node.engine.states == {}
    assert node.cluster.count("PUT") == 0, "its status is none of ours"


def placed(node: World, other: str | None, **meta: str) -> None:
    """The instance with that node in its status, and with our finalizer."""
    node.work()
    body = node.cluster.read(INSTANCES, "web", "team")
    body["status"]["nodeName"] = other
    body["metadata"] |= {"finalizers": ["challenge-controller.io/agent"]} | meta
    node.cluster.put(INSTANCES, body)


async def test_an_instance_that_was_moved_is_cleared_away_and_its_finalizer_left(
    node: World,
) -> None:
    running(node)
    served, _ = reconciler(node)
    placed(node, "n2")
    await served.reconcile(KEY)
    assert (node.engine.states, node.services.ledger.get(UID)) == ({}, None)
    left = node.cluster.read(INSTANCES, "web", "team")["metadata"]["finalizers"]
    assert left == ["challenge-controller.io/agent"]


@pytest.mark.parametrize("booked", [True, False])
async def test_a_status_without_a_node_proves_nothing(node: World, booked: bool) -> None:
    """A backup restored without statuses does not empty a node, though its ledger be lost too."""
    running(node)
    if not booked:
        node.services.ledger.release(UID, now=2)
    served, forgotten = reconciler(node)
    placed(node, None)
    assert await served.reconcile(KEY) == UNPLACED_RETRY, "nobody tells of its placement elsewhere"
    assert node.engine.states == {"web": "running"}
    assert (node.services.ledger.get(UID) is not None) == booked
    assert forgotten == []


async def test_a_deletion_counts_even_without_a_node(node: World) -> None:
    """Its finalizer would keep the object, and whoever waits for its end, for ever."""
    running(node)
    served, _ = reconciler(node)
    placed(node, None, deletionTimestamp="2026-01-31T12:00:00Z")
    await served.reconcile(KEY)
    assert (node.engine.states, node.services.ledger.get(UID)) == ({}, None)
    assert node.cluster.read(INSTANCES, "web", "team")["metadata"]["finalizers"] == []


async def test_while_the_engine_is_away_the_status_says_so_and_nothing_is_lost(
    node: World,
) -> None:
    running(node)
    served, _ = reconciler(node)
    work = node.work()
    node.services.engine_problem = "Cannot connect"
    assert await served.reconcile(KEY) is None, "its return wakes everybody"
    shown = node.cluster.read(INSTANCES, "web", "team")["status"]["conditions"]
    (ready,) = [c for c in shown if c["type"] == conditions.READY]
    assert (ready["reason"], ready["message"]) == (reasons.DOCKER_UNAVAILABLE, "Cannot connect")
    assert node.services.ledger.get(work.uid) is not None


async def test_a_slot_granted_while_the_engine_went_away_goes_to_the_next(node: World) -> None:
    """Whoever does not use its slot gives it on: held by one that waits, it is lost to all."""
    served, _ = reconciler(node)
    node.work()
    node.services.gate.request(UID, gate.Work.LAUNCH)
    node.services.gate.request("next", gate.Work.LAUNCH)
    node.services.engine_problem = "away"
    await served.reconcile(KEY)
    assert node.services.gate.holds("next")
    assert node.woken == ["next"]


async def test_a_conflict_is_read_again_soon(node: World) -> None:
    served, _ = reconciler(node)
    node.work()
    node.services.engine_problem = "away"

    async def conflict(method: str, path: str) -> None:
        if method == "PUT":
            raise Conflict(409, "Conflict", "changed", {})

    node.cluster.before = conflict
    assert await served.reconcile(KEY) == READ_AGAIN


async def test_who_is_faster_each_time_is_not_raced(node: World) -> None:
    served, _ = reconciler(node)
    node.work()
    node.services.engine_problem = "away"

    async def conflict(method: str, path: str) -> None:
        if method == "PUT":
            raise Conflict(409, "Conflict", "changed", {})

    node.cluster.before = conflict
    waits = [await served.reconcile(KEY) for _ in range(10)]
    assert waits[:3] == [READ_AGAIN, 2 * READ_AGAIN, 4 * READ_AGAIN]
    assert waits[-1] == READ_AGAIN_AT_LAST
    node.cluster.before = None
    await served.reconcile(KEY)
    node.cluster.before = conflict
    node.services.engine_problem = "away again"
    assert await served.reconcile(KEY) == READ_AGAIN, "what was is over"


async def test_a_status_drafted_while_the_instance_was_moved_is_dropped(node: World) -> None:
    """An agent that returns drafts from what it read; the node that has it now writes."""
    running(node)
    served, forgotten = reconciler(node)
    node.work(address="192.0.2.1")
    node.services.engine_problem = "away"  # something to say

    async def moved(method: str, _path: str) -> None:
        if method == "PUT":
            node.cluster.before = None
            placed(node, "n2")

    node.cluster.before = moved
    assert await served.reconcile(KEY) == READ_AGAIN
    node.services.engine_problem = ""
    before = node.cluster.read(INSTANCES, "web", "team")
    assert await served.reconcile(KEY) is None
    assert node.cluster.read(INSTANCES, "web", "team") == before
    assert (before["status"]["nodeName"], node.engine.states, forgotten) == ("n2", {}, [UID])


@pytest.mark.parametrize("other", ["n1", "n2", None])
async def test_the_fence_waits_until_it_is_clear_whose_an_instance_is(
    node: World, other: str | None
) -> None:
    running(node)
    served, _ = reconciler(node)
    fence = node.services.fence
    fence.close()
    fence.expect([UID])
    placed(node, other)

    async def away(_method: str, _path: str) -> None:
        raise ApiUnavailable("away")

    node.cluster.before = away
    with pytest.raises(ApiUnavailable):
        await served.reconcile(KEY)
    assert await fence.settled(0.01) == {UID}
    node.cluster.before = None
    if other == "n2":
        node.services.engine_problem = "away"
        await served.reconcile(KEY)
        assert await fence.settled(0.01) == {UID}, "its containers are still here"
        node.services.engine_problem = ""
    await served.reconcile(KEY)
    assert await fence.settled(0.01) == set()


async def test_a_status_that_the_server_refuses_is_left_to_the_back_off(node: World) -> None:
    """Read again at once, it would be refused twenty times a second for ever, and not be logged."""
    served, _ = reconciler(node)
    node.work()
    node.services.engine_problem = "away"

    async def invalid(method: str, path: str) -> None:
        if method == "PUT":
            raise Invalid(422, "Invalid", "status.address: Invalid value", {})

    node.cluster.before = invalid
    with pytest.raises(Invalid):
        await served.reconcile(KEY)


@pytest.mark.parametrize(
    ("container", "reason"),
    [
        ({"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}, "CapabilityNotAllowed"),
        ({"mountFlag": True}, "InvalidTemplate"),
        ({"flagEnv": "FLAG"}, "InvalidTemplate"),
    ],
)
async def test_what_may_not_or_cannot_be_served_is_refused_before_anything_is_made(
    node: World, container: dict[str, Any], reason: str
) -> None:
    served, _ = reconciler(node)
    wanted = template()
    wanted["containers"][0] |= container
    node.work({"template": wanted})
    assert await served.reconcile(KEY) is None
    shown = node.cluster.read(INSTANCES, "web", "team")
    assert {c["type"]: c["reason"] for c in shown["status"]["conditions"]} == {
        "Ready": reason,
        "Stalled": reason,
    }
    assert "finalizers" not in shown["metadata"]
    assert node.services.ledger.get(UID) is None
    assert node.engine.calls == []


@pytest.mark.parametrize(
    "error", [ApiUnavailable("connection refused"), Forbidden(401, "Unauthorized", "expired", {})]
)
async def test_while_nobody_can_be_asked_whose_time_is_over_ends_and_keeps_its_ports(
    node: World, error: ApiError
) -> None:
    running(node)
    served, forgotten = reconciler(node)

    async def away(_method: str, _path: str) -> None:
        raise error

    node.cluster.before = away
    now = milliseconds(NOON)
    for expires, left in ((None, True), (now + 1, True), (now, False)):
        node.services.ledger.set_expiry(UID, expires=expires, now=0)
        with pytest.raises(type(error)):
            await served.reconcile(KEY)
        assert (node.engine.states != {}) == left
    assert node.services.ledger.get(UID) is not None, "it may have been renewed"
    assert forgotten == []


async def test_a_ttl_that_was_cut_is_told_once_and_again_when_it_is_asked_for_again(
    node: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(node)
    served, _ = reconciler(node)
    spec = {"template": template(readinessProbe=None), "ttl": "3h"}
    policy = {"ttl": {"maximum": "2h"}}
    node.work(spec, readyTime="2026-01-31T12:00:00Z", policy=policy, observedGeneration=1)
    told: list[str] = []
    monkeypatch.setattr(node.services.recorder, "event", lambda *event: told.append(event[2]))
    for _ in range(3):
        await served.reconcile(KEY)
    assert told.count(reasons.TTL_CUT) == 1
    body = node.cluster.read(INSTANCES, "web", "team")
    body["spec"]["ttl"], body["metadata"]["generation"] = "4h", 2
    node.cluster.put(INSTANCES, body)
    for _ in range(2):
        await served.reconcile(KEY)
    assert told.count(reasons.TTL_CUT) == 2
