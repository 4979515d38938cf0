"""The manager's own comparison: what the watch has lost reaches everybody whom it concerns."""

import asyncio
from typing import Any

from controller.api.meta import FINALIZER
from controller.cluster.client import CHALLENGES, INSTANCES, NODES
from controller.manager.run import _Manager
from controller.settings import load
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.manager.objects import challenge_body, instance_body, node_body
from tests.unit.reconcile.virtual_time import virtual


@virtual
async def test_a_drain_that_the_watch_has_lost_is_begun_and_ended_by_the_comparison() -> None:
    cluster = FakeCluster()
    manager = _Manager(load({}), cluster)
    for draining in (True, False):
        body = node_body("a")
        body["spec"] = {"unschedulable": True, "drain": "All"} if draining else {}
        cluster.put(NODES, body)
        await manager._compare()
        assert manager._drain._draining == ({"a"} if draining else set())
        assert manager._pools._cordons.draining == ({"a"} if draining else set())


@virtual
async def test_one_that_cannot_be_read_and_has_no_node_can_be_deleted() -> None:
    """A finalizer that a node's agent has left, or that a user has written himself."""
    cluster = FakeCluster()
    manager = _Manager(load({}), cluster)
    odd = instance_body("odd", spec={"ttl": ["of", "a", "later", "API"]})
    odd["metadata"] |= {"deletionTimestamp": "2026-01-31T12:00:00Z"}
    odd["metadata"] |= {"finalizers": [FINALIZER, "other/one"]}
    cluster.put(INSTANCES, odd)
    await manager._compare()
    await manager._health.orphans.let_go()
    assert cluster.read(INSTANCES, "odd", "team")["metadata"]["finalizers"] == ["other/one"]


@virtual
async def test_a_store_that_has_gone_back_is_believed() -> None:
    """As after a restored backup: all that there is, is older than what was seen."""
    cluster = FakeCluster()
    manager = _Manager(load({}), cluster)
    watching = asyncio.create_task(manager._begin_anew())
    comparing = asyncio.create_task(manager._resync())

    def put(version: int, node: str, image: str, **spec: Any) -> None:
        cluster._version = version
        cluster.put(NODES, node_body("a", **spec))
        cluster.put(CHALLENGES, challenge_body(image=image))
        cluster.put(INSTANCES, instance_body("i", status={"nodeName": node} if node else {}))

    put(100, "a", "img:2", unschedulable=True)
    await manager._compare()
    assert manager._assignments.by_uid.keys() == {"uid-i"}
    put(50, "", "img:1")
    await manager._compare()
    await asyncio.sleep(1)
    assert manager._assignments.by_uid == {}
    assert "uid-i" in manager._pending
    assert not manager._nodes.by_name["a"].object.spec.unschedulable
    found = await manager._challenges.find("team", "echo")
    assert found is not None
    assert found.spec.template.containers[0].image == "img:1"
    watching.cancel()
    comparing.cancel()


@virtual
async def test_a_list_that_the_watch_has_overtaken_is_no_store_that_has_gone_back() -> None:
    cluster = FakeCluster()
    manager = _Manager(load({}), cluster)
    cluster.put(INSTANCES, instance_body("i", status={"nodeName": "a"}))
    await manager._compare()

    async def overtaken(_method: str, path: str) -> None:
        if path.endswith("/challengeinstances"):
            body = instance_body("i", status={"nodeName": "b"}, resourceVersion="9")
            manager._instance(body, False)

    cluster.before = overtaken
    await manager._compare()
    assert cluster.history.turns == 0
    assert manager._assignments.by_uid["uid-i"].node == "b"


@virtual
async def test_events_twice_and_in_another_order_are_no_store_that_has_gone_back() -> None:
    cluster = FakeCluster()
    manager = _Manager(load({}), cluster)
    bodies = {NODES: node_body("a"), CHALLENGES: challenge_body(), INSTANCES: instance_body("i")}
    for kind, body in bodies.items():
        told = [cluster.put(kind, body) for _ in range(3)]
        tell = {NODES: manager._node, CHALLENGES: manager._challenge}.get(kind, manager._instance)
        for number in (2, 0, 2, 1, 0):
            tell(told[number], False)
    for _ in range(2):
        await manager._compare()
    assert cluster.history.turns == 0
