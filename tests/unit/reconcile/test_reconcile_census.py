"""The first instance that is missing has all counted before anything is torn down for it."""

import asyncio
from datetime import timedelta

import pytest

from controller.api import reasons
from controller.cluster.client import INSTANCES, NODES, Object
from controller.cluster.errors import ApiUnavailable, Forbidden, NotFound
from controller.ledger import Ledger
from controller.reconcile.clock import milliseconds
from controller.reconcile.hold import META
from controller.reconcile.instance import InstanceReconciler
from controller.reconcile.queue import Key
from tests.unit.reconcile.world import NOON, UID, World, template

KEY = Key(UID, "team", "web")


class Node:
    """A node that runs `web`, and holds so many others, none of which the API server knows."""

    def __init__(self, world: World, others: int) -> None:
        self.world = world
        self.hold = world.services.hold
        self.forgotten: list[str] = []
        self.served = InstanceReconciler(world.services, self.forgotten.append)
        self.ledger: Ledger = world.services.ledger
        world.cluster.objects["/api/v1/namespaces/kube-system"] = {"metadata": {"uid": "cluster"}}
        world.cluster.put(NODES, {"metadata": {"name": "n1"}})
        self.ledger.reserve(UID, ["web-80-tcp"], namespace="team", name="web", now=0)
        self.ledger.begin_attempt(UID, now=1)
        world.engine.states = {"web": "running"}
        for number in range(others):
            self.ledger.reserve(f"u{number}", [], namespace="team", name=f"other{number}", now=0)

    async def look(self, uid: str = UID) -> float | None:
        row = self.ledger.get(uid)
        assert row is not None
        return await self.served.reconcile(Key(uid, row.namespace, row.name))

    def put(self, number: int, node: str = "n1", **meta: str) -> Object:
        """Have the API server know one of the others."""
        body = {
            "metadata": {"name": f"other{number}", "namespace": "team", "uid": f"u{number}"} | meta,
            "spec": {"template": template()},
            "status": {"nodeName": node},
        }
        return self.world.cluster.put(INSTANCES, body)

    def listings(self) -> int:
        return sum(path.endswith("/challengeinstances") for _, path in self.world.cluster.requests)

    def told(self) -> list[str]:
        """The reasons of the Events about the node so far."""
        queue = self.world.services.recorder._queue
        return [queue.get_nowait().reason for _ in range(queue.qsize())]


async def test_the_first_of_many_is_held_and_so_are_all_the_others(node: World) -> None:
    scene = Node(node, others=7)
    left = await scene.look()
    assert left == 600
    assert node.engine.states == {"web": "running"}
    assert (len(scene.ledger.uids()), scene.forgotten) == (8, [])
    assert all(scene.hold.keeps(uid) for uid in scene.ledger.uids())
    assert scene.told() == [reasons.ORPHANS_HELD]
    assert UID in (scene.ledger.get_meta(META) or "")
    before = scene.listings()
    await scene.look("u0")
    assert scene.listings() == before, "one count is enough"


async def test_few_are_torn_down_after_a_count(node: World) -> None:
    scene = Node(node, others=4)
    assert await scene.look() is None
    assert (node.engine.states, scene.ledger.get(UID)) == ({}, None)
    assert scene.told() == []
    assert scene.listings() == 1


async def test_those_that_were_seen_being_deleted_are_not_counted_or_slowed(node: World) -> None:
    scene = Node(node, others=9)
    for uid in (UID, "u0", "u1"):
        scene.hold.deleting(uid)
        await scene.look(uid)
    assert len(scene.ledger.uids()) == 7
    assert scene.listings() == 0


async def test_those_of_another_node_and_those_that_are_there_are_not_missing(node: World) -> None:
    scene = Node(node, others=12)
    for number in range(12):
        scene.put(number, node="n2" if number < 6 else "n1")
    await scene.look()
    assert scene.ledger.get(UID) is None, "it was the only one"
    assert len(scene.ledger.uids()) == 12


async def test_one_of_the_same_name_and_another_uid_is_missing(node: World) -> None:
    scene = Node(node, others=7)
    for number in range(7):
        scene.put(number, uid=f"another{number}")
    await scene.look()
    assert scene.hold.keeps("u0")


async def test_a_count_that_fails_tears_nothing_down(node: World) -> None:
    scene = Node(node, others=2)

    async def away(_method: str, path: str) -> None:
        if path.endswith("/challengeinstances"):
            raise ApiUnavailable("away")

    node.cluster.before = away
    with pytest.raises(ApiUnavailable):
        await scene.look()
    assert node.engine.states == {"web": "running"}


async def test_a_missing_path_is_no_missing_instance(node: World) -> None:
    """The definition is deleted between the first look and the count."""
    scene = Node(node, others=2)

    async def missing(_method: str, path: str) -> None:
        if path.endswith("/other0"):
            raise NotFound(404, "NotFound", "404 page not found", {})

    node.cluster.before = missing
    with pytest.raises(NotFound):
        await scene.look()
    assert node.engine.states == {"web": "running"}


async def test_those_that_must_not_be_asked_for_are_not_missing(node: World) -> None:
    scene = Node(node, others=9)

    async def refuse(_method: str, path: str) -> None:
        if "/other" in path:
            raise Forbidden(403, "Forbidden", "not in this namespace", {})

    node.cluster.before = refuse
    await scene.look()
    assert len(scene.ledger.uids()) == 9, "the one that is missing does not wait for them"


async def test_one_that_is_there_again_by_the_count_is_looked_at_again(node: World) -> None:
    scene = Node(node, others=0)

    async def back(_method: str, path: str) -> None:
        if path.endswith("/challengeinstances"):
            node.cluster.before = None
            node.work()

    node.cluster.before = back
    assert await scene.look() == 1.0
    assert node.engine.states == {"web": "running"}


async def test_many_that_are_looked_at_together_are_counted_once(node: World) -> None:
    scene = Node(node, others=8)
    await asyncio.gather(scene.look(), *(scene.look(f"u{n}") for n in range(8)))
    assert scene.listings() == 1
    assert len(scene.ledger.uids()) == 9


async def test_the_fence_does_not_wait_for_those_that_are_held(node: World) -> None:
    scene = Node(node, others=6)
    fence = node.services.fence
    fence.close()
    fence.expect([UID])
    await scene.look()
    assert await fence.settled(0.01) == set()


async def test_a_deadline_ends_what_is_held_and_its_row_stays(node: World) -> None:
    scene = Node(node, others=6)
    scene.ledger.set_expiry(UID, expires=milliseconds(NOON) + 30_000, now=0)
    assert await scene.look() == 30
    node.clock.at += timedelta(seconds=30)
    node.clock.seconds += 30
    await scene.look()
    assert node.engine.states == {}
    assert scene.ledger.get(UID) is not None


async def test_after_its_time_it_is_torn_down_and_the_node_says_so(node: World) -> None:
    scene = Node(node, others=6)
    await scene.look()
    scene.told()
    node.clock.seconds += 601
    assert await scene.look() is None
    assert (node.engine.states, scene.ledger.get(UID)) == ({}, None)
    await scene.look("u0")
    assert scene.told() == [reasons.ORPHANS_REMOVED]


async def test_one_that_comes_back_is_served_on(node: World) -> None:
    scene = Node(node, others=6)
    await scene.look()
    scene.put(0)
    node.services.engine_problem = "away"  # all that it has to say then is that
    await scene.look("u0")
    assert not scene.hold.keeps("u0")
    assert scene.hold.keeps(UID)


async def test_one_that_has_come_back_is_not_held_by_the_next_agent(node: World) -> None:
    """Or it would count as one whose time was over long ago, when it vanishes again."""
    scene = Node(node, others=6)
    await scene.look()
    scene.put(0)
    node.services.engine_problem = "away"  # all that it has to say then is that
    await scene.look("u0")
    kept = scene.ledger.get_meta(META) or ""
    assert UID in kept
    assert "u0" not in kept


async def test_another_cluster_proves_nothing_of_one_that_was_being_deleted_either(
    node: World,
) -> None:
    scene = Node(node, others=0)
    scene.hold.deleting(UID)
    node.cluster.objects["/api/v1/namespaces/kube-system"]["metadata"]["uid"] = "other"
    with pytest.raises(ApiUnavailable, match="another cluster"):
        await scene.look()
    assert node.engine.states == {"web": "running"}


async def test_one_of_the_same_name_in_another_cluster_proves_nothing(node: World) -> None:
    """Though it had been missing before, and was to go."""
    scene = Node(node, others=0)
    scene.hold.judge([KEY], {UID})
    twin = {"metadata": {"name": "web", "namespace": "team", "uid": "twin"}, "spec": {}}
    node.cluster.put(INSTANCES, twin)
    node.cluster.objects["/api/v1/namespaces/kube-system"]["metadata"]["uid"] = "other"
    with pytest.raises(ApiUnavailable, match="another cluster"):
        await scene.look()
    assert node.engine.states == {"web": "running"}


async def test_another_cluster_is_as_good_as_none_until_it_is_the_right_one_again(
    node: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Its deadline still ends an instance, and what that cluster has here is not launched."""
    scene = Node(node, others=6)
    kube_system = "/api/v1/namespaces/kube-system"
    node.cluster.objects[kube_system]["metadata"]["uid"] = "other"
    for _ in range(2):
        with pytest.raises(ApiUnavailable, match="another cluster"):
            await scene.look()
    assert [r.levelname for r in caplog.records] == ["ERROR"], "it is said once"
    with pytest.raises(ApiUnavailable, match="another cluster"):
        await node.services.home.confirm()
    assert len(caplog.records) == 1
    scene.put(0)
    with pytest.raises(ApiUnavailable, match="another cluster"):
        await scene.look("u0")
    scene.ledger.set_expiry(UID, expires=milliseconds(NOON), now=0)
    with pytest.raises(ApiUnavailable, match="another cluster"):
        await scene.look()
    assert node.engine.states == {}
    assert scene.ledger.get(UID) is not None
    node.cluster.objects[kube_system]["metadata"]["uid"] = "cluster"
    await node.services.home.confirm()
    scene.put(0, node="n2")
    await scene.look("u0")
    assert scene.ledger.get("u0") is None
