"""What is done about what the comparison has found: by the start, by the resync, by a reconcile."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from controller.agent import resync
from controller.api import conditions, reasons
from controller.cluster.client import EVENTS, INSTANCES, NODES
from controller.cluster.errors import ApiUnavailable
from controller.ledger import Ledger
from controller.reconcile import collect, preparing, release, startup
from controller.reconcile.gate import Work
from controller.reconcile.instance import InstanceReconciler
from controller.reconcile.queue import Key, WorkQueue
from controller.reconcile.readiness import Target
from controller.reconcile.startup import NothingMatches
from controller.runtime import labels
from tests.unit.reconcile.world import UID, World, template

KEY = Key(UID, "team", "web")
PORT = "web-80-tcp"


def served(node: World) -> tuple[InstanceReconciler, WorkQueue]:
    """A reconciler, and a queue that remembers who was woken and does nothing about it."""
    node.cluster.objects["/api/v1/namespaces/kube-system"] = {"metadata": {"uid": "cluster"}}

    async def look(key: Key) -> float | None:
        node.woken.append(key.uid)
        return None

    queue = WorkQueue(look, node.services.attempts._backoff)
    return InstanceReconciler(node.services, queue.forget), queue


async def compared(node: World) -> set[str]:
    """Compare once; who was woken by that."""
    _, queue = served(node)
    node.woken.clear()
    assert await resync.once(node.services, queue)
    await queue.stop(1.0)
    return set(node.woken)


def half_launched(node: World, **states: str) -> None:
    """An instance whose launch began in 1970, with these containers."""
    node.work({"template": template()})
    node.services.ledger.reserve(UID, [PORT], namespace="team", name="web", now=0)
    node.services.ledger.begin_attempt(UID, now=1)
    node.engine.states = states


def ready(node: World) -> Any:
    status = node.cluster.read(INSTANCES, "web", "team")["status"]
    return next(c for c in status["conditions"] if c["type"] == conditions.READY)


async def told(node: World) -> list[str]:
    await node.services.recorder.flush()
    path = EVENTS.path(namespace="team")
    found = [each for path_, each in node.cluster.objects.items() if path_.startswith(path)]
    return [each["reason"] for each in found]


def count(node: World, kind: str) -> float:
    for family in node.services.metrics._collected.collect():
        for sample in family.samples:
            if sample.name.endswith("_total") and sample.labels.get("kind") == kind:
                return float(sample.value)
    return 0.0


async def test_a_crashed_launch_is_taken_away_and_is_due_again_in_a_while(node: World) -> None:
    half_launched(node, web="created")
    assert await compared(node) == {UID}
    reconciler, _ = served(node)
    after = await reconciler.reconcile(KEY)
    assert node.engine.calls == [f"DELETE containers/chal-{UID}-web"]
    assert node.services.ledger.get(UID) is None
    assert ready(node)["reason"] == reasons.LAUNCH_CRASHED
    assert "launched afresh" in ready(node)["message"]
    assert after == pytest.approx(1.0), "the first pause of its budget"
    assert await told(node) == [reasons.LAUNCH_CRASHED]
    assert (count(node, "launch"), count(node, "container"), count(node, "port")) == (1, 1, 1)
    assert node.services.gate.held == 0
    assert await compared(node) == set(), "no launch has begun since"


async def test_a_crashed_launch_waits_for_its_turn_among_the_removals(node: World) -> None:
    half_launched(node, web="created")
    await compared(node)
    reconciler, _ = served(node)
    node.services.gate.request("other", Work.REMOVAL)
    await reconciler.reconcile(KEY)
    assert (node.engine.calls, node.services.gate.waiting_for(Work.REMOVAL)) == ([], 1)
    node.services.gate.release("other")
    await reconciler.reconcile(KEY)
    assert node.engine.states == {}


async def test_a_launch_that_went_on_since_it_was_found_is_left_alone(node: World) -> None:
    half_launched(node, web="created")
    await compared(node)
    reconciler, _ = served(node)
    node.engine.states = {"web": "running"}
    await reconciler.reconcile(KEY)
    assert node.engine.states == {"web": "running"}
    assert node.services.findings.crashed == set()
    assert node.services.ledger.get(UID) is not None


async def test_a_queue_of_a_thousand_is_no_crash(node: World) -> None:
    """Restarted ones, say: their launches began long ago, and wait for a slot since."""
    book = node.services.ledger
    node.services.gate.request("other", Work.LAUNCH)
    for number in range(1000):
        uid = f"u{number}"
        meta = {"name": uid, "namespace": "team", "uid": uid}
        status = {"nodeName": "n1", "template": template()}
        node.cluster.put(INSTANCES, {"metadata": meta, "spec": {}, "status": status})
        book.reserve(uid, [], namespace="team", name=uid, now=0)
        book.begin_attempt(uid, now=1)
        node.services.gate.request(uid, Work.LAUNCH)
    node.services.gate.release("u7")
    await compared(node)
    assert node.services.findings.crashed == {"u7"}, "that one has left the queue"


async def test_whoever_waits_for_something_has_not_crashed(node: World) -> None:
    services = node.services
    half_launched(node)
    assert not collect.is_busy(services, UID)
    services.attempts.fail(UID, reasons.LAUNCH_FAILED, "no", now=services.monotonic())
    assert collect.is_busy(services, UID), "its next try has a time"
    services.attempts.succeed(UID)
    services.images.awaited_by = lambda waiter: waiter == UID  # type: ignore[method-assign]
    assert collect.is_busy(services, UID), "its image is being pulled"
    del services.images.awaited_by
    services.readiness.watch(UID, [Target("web", "chal", "192.0.2.7", ())], set())
    assert collect.is_busy(services, UID), "it is being probed"
    services.readiness.forget(UID)
    services.engine.pending_below = lambda prefix: UID in prefix  # type: ignore[method-assign]
    assert collect.is_busy(services, UID), "the engine has not answered a call on it"
    del services.engine.pending_below
    assert not collect.is_busy(services, UID)


async def test_while_api_server_or_engine_is_away_no_launch_has_crashed(node: World) -> None:
    half_launched(node, web="created")
    _, queue = served(node)

    async def away(_method: str, _path: str) -> None:
        raise ApiUnavailable("away")

    node.cluster.before = away
    assert not await resync.once(node.services, queue)
    node.cluster.before = None
    node.services.engine_problem = "away"
    assert not await resync.once(node.services, queue)
    assert node.services.findings.crashed == set()
    assert queue.known() == []


async def test_what_waits_for_the_start_is_neither_looked_at_nor_written(node: World) -> None:
    half_launched(node, web="running")
    version = node.cluster.read(INSTANCES, "web", "team")["metadata"]["resourceVersion"]
    node.services.started = False
    reconciler, _ = served(node)
    assert await reconciler.reconcile(KEY) is None
    assert node.cluster.read(INSTANCES, "web", "team")["metadata"]["resourceVersion"] == version
    assert await compared(node) == {UID}
    assert node.services.started


def runs(node: World, *, port: int, told: int | None = None, **states: str) -> None:
    """An instance whose container is bound to a port, and that the ledger does not have."""
    ports = [
        {"name": PORT, "containerName": "web", "containerPort": 80, "hostPort": told or port}
        | {"protocol": "TCP", "endpoint": "x"}
    ]
    node.work({"template": template()}, ports=ports)
    node.engine.states = states or {"web": "running"}
    node.engine.bound = {"web": port}


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
