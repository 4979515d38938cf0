"""What is done about what the comparison has found: by the start, by the resync, by a reconcile."""

import sqlite3
from contextlib import closing

import pytest

from controller.api import reasons
from controller.cluster.client import INSTANCES, NODES
from controller.ledger import Ledger
from controller.reconcile import preparing, release, startup
from controller.reconcile.startup import NothingMatches
from controller.runtime import labels
from tests.unit.reconcile.collecting import (
    KEY,
    PORT,
    compared,
    count,
    half_launched,
    ready,
    runs,
    served,
    told,
)
from tests.unit.reconcile.world import UID, World


async def test_what_waits_for_the_start_is_neither_looked_at_nor_written(node: World) -> None:
    half_launched(node, web="running")
    version = node.cluster.read(INSTANCES, "web", "team")["metadata"]["resourceVersion"]
    node.services.started = False
    reconciler, _ = served(node)
    assert await reconciler.reconcile(KEY) is None
    assert node.cluster.read(INSTANCES, "web", "team")["metadata"]["resourceVersion"] == version
    assert await compared(node) == {UID}
    assert node.services.started


@pytest.mark.parametrize("state", ["running", "paused", "exited"])
async def test_the_start_reserves_again_what_runs_on_the_ports_that_it_is_bound_to(
    node: World, state: str
) -> None:
    runs(node, port=10003, told=10008, web=state)
    await startup.reconcile(node.services)
    held = node.services.ledger.get(UID)
    assert held is not None
    assert held.ports == {PORT: 10003}
    assert node.engine.calls == []
    assert await told(node) == [reasons.RESERVED_AGAIN]
    assert node.services.findings.summary().endswith(
        "1 reserved again, 0 crashed launches, 0 networks removed"
    )


async def test_a_row_with_another_port_than_the_container_is_put_right(node: World) -> None:
    runs(node, port=10003)
    node.services.ledger.reserve(UID, [PORT], namespace="team", name="web", now=7)
    await startup.reconcile(node.services)
    held = node.services.ledger.get(UID)
    assert held is not None
    assert (held.ports, held.created) == ({PORT: 10003}, 7)


async def test_an_old_row_that_holds_nothing_makes_room_for_what_runs(node: World) -> None:
    book = node.services.ledger
    old = book.reserve("gone", ["x"], namespace="team", name="gone", now=0)
    runs(node, port=old["x"])
    await startup.reconcile(node.services)
    held = book.get(UID)
    assert held is not None
    assert (held.ports, book.get("gone")) == ({PORT: old["x"]}, None)
    assert node.services.findings.tally["released"] == 1


async def test_containers_of_another_template_are_taken_away_and_made_anew(node: World) -> None:
    runs(node, port=10003)
    node.engine.template_hash = "another"
    await startup.reconcile(node.services)
    assert node.services.ledger.get(UID) is None
    assert node.services.findings.unbooked == {UID}
    reconciler, _ = served(node)
    await reconciler.reconcile(KEY)
    assert node.engine.states == {}
    assert ready(node)["reason"] == reasons.LAUNCH_CRASHED
    assert node.services.findings.unbooked == set()


async def test_a_new_ledger_and_a_cluster_that_knows_nothing_of_what_runs_stop_the_start(
    node: World,
) -> None:
    node.engine.states = {"web": "running"}
    with pytest.raises(NothingMatches, match="this cluster knows none of their instances"):
        await startup.reconcile(node.services)
    assert node.services.ledger.needs_restore


async def test_a_row_that_goes_while_the_agent_runs_comes_back_by_the_next_look(
    node: World,
) -> None:
    runs(node, port=10003)
    reconciler, _ = served(node)
    read = node.cluster.read(INSTANCES, "web", "team")
    node.services.seen[UID] = read["metadata"]["resourceVersion"]
    assert await compared(node) == {UID}
    await reconciler.reconcile(KEY)
    held = node.services.ledger.get(UID)
    assert held is not None
    assert held.ports == {PORT: 10003}
    assert node.engine.states == {"web": "running"}


async def test_a_row_that_is_wrong_while_the_agent_runs_is_put_right_by_the_next_look(
    node: World,
) -> None:
    runs(node, port=10003)
    other = node.services.ledger.reserve(UID, [PORT], namespace="team", name="web", now=7)
    assert other != {PORT: 10003}
    assert await compared(node) == {UID}
    reconciler, _ = served(node)
    await reconciler.reconcile(KEY)
    held = node.services.ledger.get(UID)
    assert held is not None
    assert (held.ports, held.created) == ({PORT: 10003}, 7)
    assert (node.engine.states, node.engine.calls) == ({"web": "running"}, [])
    assert await told(node) == [reasons.RESERVED_AGAIN]
    assert node.services.findings.unbooked == set()


async def test_what_runs_on_a_port_that_another_has_in_the_ledger_is_launched_afresh(
    node: World,
) -> None:
    """Whom players would reach there cannot be told any more."""
    book = node.services.ledger
    held = book.reserve("other", ["x"], namespace="team", name="other", now=0)
    runs(node, port=held["x"])
    book.reserve(UID, [PORT], namespace="team", name="web", now=7)
    await compared(node)
    reconciler, _ = served(node)
    await reconciler.reconcile(KEY)
    assert (node.engine.states, book.get(UID)) == ({}, None)
    assert book.usage().reserved == 1
    assert ready(node)["reason"] == reasons.LAUNCH_CRASHED


async def test_an_orphan_goes_by_its_own_reconcile_and_is_told_of_the_node(node: World) -> None:
    node.services.ledger.reserve(UID, ["x"], namespace="team", name="web", now=0)
    node.engine.states = {"web": "exited"}
    node.services.ledger.restore([], now=0)
    node.cluster.put(NODES, {"metadata": {"name": "n1"}})
    node.services.node = lambda: node.cluster.read(NODES, "n1")
    node.services.fence.close()
    assert await compared(node) == {UID}
    assert node.engine.states == {"web": "exited"}, "nothing goes but by its reconcile"
    assert await node.services.fence.settled(0.0) == {UID}
    reconciler, _ = served(node)
    await reconciler.reconcile(KEY)
    assert node.engine.states == {}
    assert node.services.ledger.get(UID) is None
    assert await node.services.fence.settled(0.0) == set()
    assert (count(node, "container"), count(node, "row")) == (1, 1)
    assert node.services.findings.tally["orphan"] == 1
    await node.services.recorder.flush()
    (event,) = [e for p, e in node.cluster.objects.items() if "/events/" in p]
    assert event["involvedObject"]["name"] == "n1"
    assert "team/web" in event["message"]
    assert "1 container, 1 row, 1 port" in event["message"]


async def test_what_the_ledger_holds_for_nobody_is_given_back(node: World, ledger: Ledger) -> None:
    pool = node.services.own_networks.pool
    half_launched(node, web="running")
    ledger.add_slot("warm", ["x"], namespace="t", challenge="c", template="h", now=0)
    for owner in (UID, "nobody", "prepared-network"):
        ledger.allocate_subnet(owner, pool=pool, prefix=27, now=0)
    ledger.reserve("edited", ["x", "y"], namespace="t", name="edited", now=0)
    with closing(sqlite3.connect(ledger.path)) as db, db:  # which knows of no foreign keys
        db.execute("DELETE FROM instances WHERE uid = 'edited'")
    node.services.node = lambda: node.cluster.put(NODES, {"metadata": {"name": "n1"}})
    await compared(node)
    await node.services.recorder.flush()
    (event,) = [e for p, e in node.cluster.objects.items() if "/events/" in p]
    assert "subnet nobody; slot warm; port 1" in event["message"]
    assert count(node, "port") == 2
    assert {each.owner for each in ledger.subnets()} == {UID, "prepared-network"}
    assert ledger.slots() == []
    assert (count(node, "subnet"), count(node, "slot")) == (1, 1)


async def test_no_network_goes_or_comes_before_the_ledger_knows_what_runs(node: World) -> None:
    node.engine.networks = {"shared": {labels.NETWORK_KIND: labels.KIND_SHARED}}
    node.configure(prepared_networks=1)
    node.engine.creates = True
    node.services.started = False
    await release.tidy(node.services)
    assert not await preparing.prepare(node.services)
    assert node.engine.calls == []
    node.services.started = True
    await release.tidy(node.services)
    assert node.engine.calls == ["DELETE networks/shared"]
    assert await preparing.prepare(node.services)


async def test_an_object_whose_instance_has_ended_keeps_no_network(node: World) -> None:
    """As one that is retained when its time is over, on a node that has no other."""
    half_launched(node, web="running")
    node.engine.networks = {"shared": {labels.NETWORK_KIND: labels.KIND_SHARED}}
    await compared(node)
    assert node.engine.networks.keys() == {"shared"}
    node.services.ledger.release(UID, now=1)
    node.engine.states.clear()
    node.services.seen[UID] = "1"
    await compared(node)
    assert node.engine.networks == {}


async def test_what_the_last_removal_could_not_take_away_goes_with_the_next_comparison(
    node: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The spare networks and bridges, which are kept as long as the node has an instance."""
    half_launched(node, web="running")
    node.engine.networks = {
        "shared": {labels.NETWORK_KIND: labels.KIND_SHARED},
        "spare": {labels.NETWORK_KIND: labels.KIND_INSTANCE},
    }
    node.engine.subnets = {
        "spare": str(next(node.services.own_networks.pool.subnets(new_prefix=27)))
    }
    await compared(node)
    assert node.services.own_networks.spare == 1
    node.engine.states.clear()
    del node.cluster.objects[INSTANCES.path("web", "team")]
    node.engine.network_refusal = "not now"
    await release.release(node.services, UID)
    await release.tidy(node.services)
    assert "not now" in caplog.text
    await compared(node)
    assert node.engine.networks.keys() == {"shared", "spare"}, "it refuses still"
    node.engine.network_refusal = ""
    await compared(node)
    assert node.engine.networks == {}
    assert node.services.own_networks.spare == 0
