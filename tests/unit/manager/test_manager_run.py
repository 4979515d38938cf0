"""The manager's own comparison: what the watch has lost reaches everybody whom it concerns."""

from controller.cluster.client import NODES
from controller.manager.run import _Manager
from controller.settings import load
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.manager.objects import node_body
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
