"""Two managers: what one of them had under way when it was frozen changes nothing when it thaws.

Every write carries the resourceVersion of what it was computed from, so it is refused once the
other one has acted; and a Lease that may be lost is not renewed but given up.
"""

import asyncio

from controller.api import reasons
from controller.cluster.client import INSTANCES
from controller.cluster.events import Recorder
from controller.cluster.lease import Lease
from controller.manager.health import Health
from controller.manager.nodes import Nodes
from controller.manager.pending import Pending
from controller.manager.placement import Assignments
from controller.manager.scheduler import Scheduler
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.manager.lossy import LEASE, TIMEOUT, Cluster
from tests.unit.manager.objects import NAMESPACE, instance_body, node_body
from tests.unit.reconcile.virtual_time import now, settle, virtual


class Freezer:
    """Holds back the writes to instances that are sent from now on, until they thaw."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.caught = 0
        self._thawed = asyncio.Event()
        self._cluster = cluster
        cluster.before = self._hold

    async def _hold(self, method: str, path: str) -> None:
        if method == "PUT" and INSTANCES.plural in path:
            self.caught += 1
            await self._thawed.wait()

    def others_go_on(self) -> None:
        """Later writes are not held; those that were caught still are."""
        self._cluster.before = None

    def thaw(self) -> None:
        """Have the caught ones arrive."""
        self._thawed.set()


class Placer:
    """One manager's placement on a node of its own choice."""

    def __init__(self, cluster: FakeCluster, node: str) -> None:
        self.pending, self.assigned = Pending(), Assignments()
        nodes = Nodes(lambda: None, 2)
        nodes.observe(node_body(node), deleted=False)
        nodes.by_name[node].alive = True
        self.recorder = Recorder(cluster, "test")
        self.scheduler = Scheduler(cluster, self.recorder, nodes, self.pending, self.assigned)
        self.task = asyncio.create_task(self.scheduler.run())

    async def place(self, cluster: FakeCluster, *names: str) -> None:
        """Place what it reads."""
        for name in names:
            self.pending.put(cluster.read(INSTANCES, name, "team"))
        self.scheduler.kick()
        await settle()


@virtual
async def test_placements_under_way_when_a_manager_froze_are_refused_when_it_thaws() -> None:
    cluster = FakeCluster()
    names = [f"i{number}" for number in range(8)]
    for name in names:
        cluster.put(INSTANCES, instance_body(name))
    first, second = Placer(cluster, "n1"), Placer(cluster, "n2")
    freezer = Freezer(cluster)
    await first.place(cluster, *names)
    assert freezer.caught == 8
    freezer.others_go_on()
    await second.place(cluster, *names)
    freezer.thaw()
    await asyncio.sleep(1)
    placed = {cluster.read(INSTANCES, name, "team")["status"]["nodeName"] for name in names}
    assert placed == {"n2"}
    assert first.assigned.load("n1").instances == 0
    for placer in (first, second):
        placer.task.cancel()


@virtual
async def test_a_move_under_way_is_refused_once_the_agent_is_back_or_it_has_a_new_node() -> None:
    cluster = Cluster("a", "b")
    cluster.put("back", "a")
    cluster.put("moved", "a")
    await asyncio.sleep(1)
    cluster.cut("a")
    await asyncio.sleep(TIMEOUT - LEASE)
    freezer = Freezer(cluster.api)
    await asyncio.sleep(3 * LEASE)
    assert freezer.caught == 1
    freezer.others_go_on()
    for name, node in (("back", "a"), ("moved", "b")):
        cluster.put(name, node)
    freezer.thaw()
    await asyncio.sleep(1)
    assert (cluster.node_of("back"), cluster.node_of("moved")) == ("a", "b")
    cluster.close()


@virtual
async def test_a_second_manager_moves_what_the_first_did_not() -> None:
    """Both at once, as after a freeze: each instance is moved once all the same."""
    cluster = Cluster("a", "b")
    for number in range(20):
        cluster.put(f"i{number}", "a")
    nodes = Nodes(lambda: None, 2, now, lease_duration=LEASE)
    for name in ("a", "b"):
        nodes.observe(node_body(name), deleted=False)
    other = Health(cluster.api, cluster.recorder, nodes, cluster.in_use, cluster.settings)
    cluster.tasks.append(asyncio.create_task(nodes.run(cluster.api, NAMESPACE)))
    cluster.tasks.append(asyncio.create_task(other.run()))
    await asyncio.sleep(1)
    cluster.cut("a")
    await asyncio.sleep(TIMEOUT + 3 * LEASE)
    assert len(cluster.moved_at) == 20, "and none twice, which would have failed above"
    assert await cluster.events() == 20
    assert cluster.ready("i0") == ("False", reasons.RESCHEDULED)
    cluster.close()


@virtual
async def test_a_manager_that_thaws_gives_its_lease_up_and_does_not_renew_it() -> None:
    cluster = FakeCluster()
    frozen = 0.0
    lease = Lease(cluster, NAMESPACE, "m", "first", 15, monotonic=lambda: now() + frozen)
    await lease.take()
    keeping = asyncio.create_task(lease.keep(lost_after=10))
    await asyncio.sleep(1)
    writes = cluster.count("PUT")
    frozen = 11.0
    await keeping
    assert cluster.count("PUT") == writes
