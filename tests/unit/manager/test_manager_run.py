"""The manager's own comparison: what the watch has lost reaches everybody whom it concerns."""

from controller.api.meta import FINALIZER
from controller.cluster.client import INSTANCES, NODES
from controller.manager.run import _Manager
from controller.settings import load
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.manager.objects import instance_body, node_body
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
