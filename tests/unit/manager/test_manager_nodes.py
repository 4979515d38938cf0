"""Which nodes are alive, judged by their Leases on the manager's own clock."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from controller.cluster.client import LEASES, NODES
from controller.cluster.errors import ApiUnavailable
from controller.cluster.lease import micro_time
from controller.manager.heartbeats import PERIOD
from controller.manager.nodes import Nodes
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.manager.objects import NAMESPACE, lease_body, node_body
from tests.unit.reconcile.virtual_time import now, virtual


class Watched:
    """The nodes of a cluster, and how often one was said to take more than before."""

    def __init__(self, *names: str) -> None:
        self.cluster = FakeCluster()
        self.changes = 0
        self.nodes = Nodes(self.changed, 2, now)
        for name in names:
            self.nodes.observe(node_body(name), deleted=False)
        self.changes = 0

    def changed(self) -> None:
        """Count it."""
        self.changes += 1

    def renew(self, name: str = "a", number: int = 0) -> None:
        """A renewal that differs from the others by its number."""
        at = datetime.now(UTC) + timedelta(milliseconds=number)
        self.cluster.put(LEASES, lease_body(name, micro_time(at)))

    async def looking(self) -> asyncio.Task[None]:
        """Begin to look at the Leases, and have had a first look."""
        task = asyncio.create_task(self.nodes.run(self.cluster, NAMESPACE))
        await asyncio.sleep(0.01)
        return task

    @property
    def alive(self) -> list[str]:
        """The nodes that are."""
        return [name for name, node in self.nodes.by_name.items() if node.alive]


@virtual
async def test_a_node_that_renews_its_lease_is_alive_and_waiting_instances_are_looked_at() -> None:
    watched = Watched("a", "b")
    watched.renew("a")
    task = await watched.looking()
    assert (watched.alive, watched.changes) == (["a"], 1)
    task.cancel()


@virtual
async def test_a_node_silent_for_its_leases_duration_is_not_alive_until_it_renews() -> None:
    watched = Watched("a")
    watched.renew()
    task = await watched.looking()
    await asyncio.sleep(40)
    assert watched.alive == ["a"]
    await asyncio.sleep(PERIOD + 0.1)
    assert watched.alive == []
    changes = watched.changes
    watched.renew(number=1)
    await asyncio.sleep(PERIOD)
    assert (watched.alive, watched.changes) == (["a"], changes + 1)
    task.cancel()


@virtual
async def test_a_node_that_died_long_before_this_manager_began_is_not_alive() -> None:
    watched = Watched("a")
    long_ago = micro_time(datetime.now(UTC) - timedelta(hours=1))
    watched.cluster.put(LEASES, lease_body("a", long_ago))
    task = await watched.looking()
    assert watched.alive == []
    task.cancel()


@virtual
async def test_a_node_whose_lease_is_gone_is_not_alive() -> None:
    watched = Watched("a", "b")
    watched.renew("a")
    watched.renew("b")
    task = await watched.looking()
    del watched.cluster.objects[LEASES.path("node-a", NAMESPACE)]
    await asyncio.sleep(PERIOD + 0.1)
    assert watched.alive == ["b"]
    task.cancel()


@virtual
async def test_an_api_server_that_is_away_kills_no_node() -> None:
    """It is the manager's own link; nodes are judged by what is seen of them."""
    watched = Watched("a")
    watched.renew()
    task = await watched.looking()

    async def away(_method: str, _path: str) -> None:
        raise ApiUnavailable("away")

    watched.cluster.before = away
    await asyncio.sleep(1000)
    assert watched.alive == ["a"]
    watched.cluster.before = None
    watched.renew(number=1)
    await asyncio.sleep(PERIOD + 0.1)
    assert watched.alive == ["a"]
    task.cancel()


@pytest.mark.parametrize("prefix", ["", "other-node-"])
def test_somebody_elses_lease_vouches_for_no_node(prefix: str) -> None:
    @virtual
    async def check() -> None:
        watched = Watched("challenge-manager")
        watched.cluster.put(LEASES, lease_body("challenge-manager", prefix=prefix))
        task = await watched.looking()
        assert watched.alive == []
        task.cancel()

    check()


@virtual
async def test_a_node_that_has_just_registered_need_not_wait_for_the_next_look() -> None:
    watched = Watched()
    task = await watched.looking()
    watched.nodes.observe(node_body("a"), deleted=False)
    watched.renew()
    await asyncio.sleep(0.6)
    assert watched.alive == ["a"]
    task.cancel()


def test_the_watch_brings_takes_and_changes_nodes() -> None:
    watched = Watched("a")
    watched.nodes.by_name["a"].alive = True
    watched.nodes.observe(node_body("a", unschedulable=True), deleted=False)
    assert watched.nodes.by_name["a"].problem() == "cordoned"
    assert watched.nodes.by_name["a"].alive, "what is known of it is kept"
    watched.nodes.observe(node_body("a"), deleted=True)
    assert watched.nodes.by_name == {}
    watched.nodes.observe(node_body("a"), deleted=True)
    assert watched.changes == 3


@virtual
async def test_reading_all_anew_finds_what_the_watch_lost() -> None:
    watched = Watched("lost", "kept")
    watched.cluster.put(NODES, node_body("kept"))
    watched.cluster.put(NODES, node_body("new"))
    await watched.nodes.load(watched.cluster)
    assert sorted(watched.nodes.by_name) == ["kept", "new"]


def test_the_gates_size_is_the_nodes_own_or_the_default() -> None:
    nodes = Nodes(lambda: None, 2)
    nodes.observe(node_body("a"), deleted=False)
    nodes.observe(node_body("b", launchConcurrency=8), deleted=False)
    assert (nodes.launches("a"), nodes.launches("b")) == (2, 8)


@virtual
async def test_a_list_that_is_behind_the_watch_takes_nothing_back() -> None:
    watched = Watched()
    old = watched.cluster.put(NODES, node_body("a"))
    new = watched.cluster.put(NODES, node_body("a", unschedulable=True))
    watched.nodes.observe(new, deleted=False)
    watched.nodes.observe(old, deleted=False)
    assert watched.nodes.by_name["a"].problem() == "cordoned"

    async def joined(_method: str, _path: str) -> None:
        watched.nodes.observe(node_body("b"), deleted=False)

    watched.cluster.after = joined  # while the list is on its way
    await watched.nodes.load(watched.cluster)
    assert sorted(watched.nodes.by_name) == ["a", "b"]
    watched.cluster.after = None
    await watched.nodes.load(watched.cluster)
    assert sorted(watched.nodes.by_name) == ["a"]


@virtual
async def test_a_node_made_anew_is_taken_whatever_its_version() -> None:
    watched = Watched()
    first = watched.cluster.put(NODES, node_body("a", unschedulable=True))
    watched.nodes.observe(first, deleted=False)
    again = node_body("a")
    again["metadata"] |= {"uid": "another", "resourceVersion": "0"}
    watched.nodes.observe(again, deleted=False)
    assert watched.nodes.by_name["a"].object.metadata.uid == "another"


@virtual
async def test_a_node_that_cannot_be_read_does_not_hide_the_others() -> None:
    watched = Watched()
    watched.cluster.put(NODES, node_body("a", launchConcurrency="many"))
    watched.cluster.put(NODES, node_body("b"))
    await watched.nodes.load(watched.cluster)
    assert list(watched.nodes.by_name) == ["b"]
