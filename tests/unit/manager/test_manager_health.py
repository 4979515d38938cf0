"""A node that is silent: marked, its instances too; then they move. And all that prevents it."""

import asyncio
from itertools import pairwise

from controller.api import reasons
from controller.cluster.client import INSTANCES, LEASES, NODES
from controller.cluster.errors import ApiUnavailable
from controller.manager.health import MASS_PACE
from controller.manager.heartbeats import PERIOD
from controller.manager.orphans import PACE
from tests.unit.manager.lossy import LEASE, TIMEOUT, Cluster
from tests.unit.manager.objects import NAMESPACE, condition, instance_body
from tests.unit.reconcile.virtual_time import now, virtual

UNKNOWN = ("Unknown", reasons.NODE_LOST)
FINE = ("True", "Testing")
SLACK = 4 * PERIOD
"""Seconds within which the manager sees what is due."""


@virtual
async def test_a_silent_node_and_its_instances_are_marked_once_and_nothing_moves_yet() -> None:
    cluster = Cluster("a", "b")
    for number in range(5):
        cluster.put(f"on-a-{number}", "a")
    cluster.put("on-b", "b")
    await asyncio.sleep(60)
    assert cluster.writes() == cluster.writes(NODES.plural) == 0
    cluster.cut("a")
    await asyncio.sleep(LEASE - LEASE / 4)
    assert cluster.writes(NODES.plural) == 0
    await asyncio.sleep(LEASE / 4 + SLACK)
    assert cluster.node_ready("a") == UNKNOWN
    assert {cluster.ready(f"on-a-{number}") for number in range(5)} == {UNKNOWN}
    assert (cluster.ready("on-b"), cluster.node_ready("b")) == (FINE, ("True", "Ready"))
    times = sorted(cluster.marked_at.values())
    assert all(b - a >= 0.99 * PACE for a, b in pairwise(times))
    await asyncio.sleep(TIMEOUT - 2 * LEASE - SLACK)
    assert (cluster.writes(), cluster.writes(NODES.plural)) == (5, 1)
    assert cluster.node_of("on-a-0") == "a"
    cluster.close()


@virtual
async def test_after_the_timeout_each_moves_once_with_one_event() -> None:
    cluster = Cluster("a", "b")
    for number in range(5):
        cluster.put(f"on-a-{number}", "a")
    await asyncio.sleep(60)
    cluster.cut("a")
    cut = now()
    await asyncio.sleep(TIMEOUT + 2 * LEASE)
    assert sorted(cluster.moved_at) == [f"on-a-{number}" for number in range(5)]
    assert min(cluster.moved_at.values()) - cut >= TIMEOUT - LEASE / 4
    assert max(cluster.moved_at.values()) - cut <= TIMEOUT + SLACK
    assert cluster.writes() == 10, "one mark and one move each"
    assert await cluster.events() == 5
    assert (
        "has not reported for 30"
        in cluster.instance("on-a-0")["status"]["conditions"][0]["message"]
    )
    await asyncio.sleep(10 * TIMEOUT)
    assert cluster.writes() == 10
    cluster.close()


@virtual
async def test_what_is_being_deleted_or_at_rest_is_neither_marked_nor_moved() -> None:
    cluster = Cluster("a", "b")
    cluster.put("deleting", "a", deletionTimestamp="2026-01-31T12:00:00Z")
    cluster.put("expired", "a", conditions=[condition("Expired", "True")])
    await asyncio.sleep(1)
    cluster.cut("a")
    await asyncio.sleep(2 * TIMEOUT)
    assert cluster.node_ready("a") == UNKNOWN
    assert cluster.writes() == 0
    cluster.close()


@virtual
async def test_those_that_wait_by_policy_or_belong_to_that_node_stay_and_say_so() -> None:
    cluster = Cluster("a", "b")
    cluster.put("waits", "a", wait=True)
    cluster.api.put(
        INSTANCES,
        instance_body("pinned", spec={"nodeName": "a"}, status={"nodeName": "a"}),
    )
    await asyncio.sleep(1)
    cluster.cut("a")
    await asyncio.sleep(2 * TIMEOUT)
    assert (cluster.node_of("waits"), cluster.node_of("pinned")) == ("a", "a")
    assert (cluster.ready("waits"), cluster.ready("pinned")) == (UNKNOWN, UNKNOWN)
    assert cluster.writes() == 2
    cluster.close()


@virtual
async def test_a_short_silence_moves_nothing_and_the_agents_word_stands_when_it_is_back() -> None:
    cluster = Cluster("a", "b")
    cluster.put("on-a", "a")
    await asyncio.sleep(1)
    cluster.cut("a")
    await asyncio.sleep(TIMEOUT - LEASE)
    assert cluster.ready("on-a") == UNKNOWN
    cluster.join("a")
    cluster.put("on-a", "a")  # its agent writes anew
    await asyncio.sleep(2 * TIMEOUT)
    assert (cluster.node_of("on-a"), cluster.ready("on-a")) == ("a", FINE)
    assert cluster.writes() == 1
    cluster.close()


@virtual
async def test_an_agent_that_returns_while_its_instances_are_moved_keeps_the_others() -> None:
    cluster = Cluster("a", "b")
    for number in range(100):
        cluster.put(f"i-{number:02}", "a")
    await asyncio.sleep(1)
    cluster.cut("a")
    await asyncio.sleep(TIMEOUT - LEASE)
    await cluster.first_move.wait()
    cluster.join("a")
    before = len(cluster.moved_at)
    await asyncio.sleep(TIMEOUT)
    assert len(cluster.moved_at) <= before + 1
    cluster.close()


@virtual
async def test_an_agent_that_writes_but_does_not_renew_is_not_written_against_for_ever() -> None:
    cluster = Cluster("a", "b")
    cluster.put("on-a", "a", wait=True)
    await asyncio.sleep(1)
    cluster.cut("a")
    for _ in range(10 * LEASE):
        await asyncio.sleep(1)
        if cluster.ready("on-a") == UNKNOWN:
            cluster.put("on-a", "a", wait=True)
    assert 2 <= cluster.writes() <= 10
    cluster.close()


@virtual
async def test_when_all_nodes_vanish_at_once_nothing_is_marked_or_moved() -> None:
    cluster = Cluster("a", "b", "c")
    for name in ("a", "b", "c"):
        cluster.put(f"on-{name}", name)
    for offset in (1.0, 4.0, 4.0):  # their renewals are not in step
        cluster.cut({1.0: "a"}.get(offset, "b"))
        await asyncio.sleep(offset)
    cluster.cut("c")
    await asyncio.sleep(10 * TIMEOUT)
    assert cluster.writes() == 0
    assert {cluster.node_ready(name) for name in ("a", "b", "c")} == {
        ("Unknown", reasons.ALL_NODES_LOST)
    }
    assert cluster.writes(NODES.plural) <= 3
    cluster.close()


@virtual
async def test_the_first_to_return_after_that_does_not_cost_the_others_their_instances() -> None:
    cluster = Cluster("a", "b", "c")
    for name in ("a", "b", "c"):
        cluster.put(f"on-{name}", name)
    await asyncio.sleep(60)
    cluster.cut("a", "b", "c")
    await asyncio.sleep(10 * TIMEOUT)
    cluster.join("a")
    await asyncio.sleep(LEASE / 2)
    cluster.join("b")
    await asyncio.sleep(LEASE)
    assert cluster.ready("on-b") == FINE
    assert cluster.ready("on-c") == UNKNOWN, "it has had as long as any other"
    assert cluster.moved_at == {}
    await asyncio.sleep(TIMEOUT)
    assert list(cluster.moved_at) == ["on-c"]
    cluster.close()


@virtual
async def test_when_over_half_vanish_one_moves_every_ten_seconds() -> None:
    cluster = Cluster("a", "b", "c")
    for name in ("a", "b"):
        for number in range(3):
            cluster.put(f"on-{name}-{number}", name)
    await asyncio.sleep(60)
    cluster.cut("a", "b")
    await asyncio.sleep(TIMEOUT + SLACK + 6 * (MASS_PACE + PERIOD))
    times = sorted(cluster.moved_at.values())
    assert len(times) == 6
    assert all(b - a >= MASS_PACE for a, b in pairwise(times))
    cluster.close()


@virtual
async def test_a_clusters_only_node_is_marked_and_what_is_on_it_stays() -> None:
    cluster = Cluster("a")
    cluster.put("on-a", "a")
    await asyncio.sleep(1)
    cluster.cut("a")
    await asyncio.sleep(2 * TIMEOUT)
    assert (cluster.node_ready("a"), cluster.ready("on-a")) == (UNKNOWN, UNKNOWN)
    assert cluster.node_of("on-a") == "a"
    cluster.close()


@virtual
async def test_nothing_moves_as_long_as_no_other_node_could_take_it() -> None:
    cluster = Cluster("a", "b")
    cluster.put("on-a", "a")
    await asyncio.sleep(1)
    body = cluster.api.read(NODES, "b")
    cordoned = cluster.api.put(NODES, body | {"spec": {"unschedulable": True}})
    cluster.nodes.observe(cordoned, deleted=False)
    cluster.cut("a")
    await asyncio.sleep(2 * TIMEOUT)
    assert cluster.node_of("on-a") == "a"
    cluster.nodes.observe(cluster.api.put(NODES, body), deleted=False)
    await asyncio.sleep(60)
    assert list(cluster.moved_at) == ["on-a"]
    cluster.close()


@virtual
async def test_a_manager_that_has_just_begun_counts_only_what_it_has_seen() -> None:
    cluster = Cluster("a", "b")
    cluster.put("on-a", "a")
    await asyncio.sleep(1)
    cluster.cut("a")
    await asyncio.sleep(LEASE - LEASE / 4)
    cluster.end_managing()
    cluster.manage()
    await asyncio.sleep(LEASE - 1)
    assert cluster.writes() == 0
    await asyncio.sleep(SLACK)
    assert cluster.ready("on-a") == UNKNOWN
    await asyncio.sleep(TIMEOUT - LEASE - 2 * SLACK)
    assert cluster.moved_at == {}
    await asyncio.sleep(3 * SLACK)
    assert list(cluster.moved_at) == ["on-a"]
    cluster.close()


@virtual
async def test_an_api_server_that_was_away_is_held_against_no_node() -> None:
    """Agents could not renew either; the first look afterwards sees old Leases."""
    cluster = Cluster("a", "b")
    cluster.put("on-a", "a")
    cluster.put("on-b", "b")
    await asyncio.sleep(60)

    async def away(_method: str, _path: str) -> None:
        raise ApiUnavailable("away")

    cluster.cut("a", "b")
    cluster.api.before = away
    await asyncio.sleep(3 * TIMEOUT)
    cluster.api.before = None
    await asyncio.sleep(LEASE / 4)
    cluster.join("b")
    await asyncio.sleep(LEASE / 4)
    assert cluster.writes() == cluster.writes(NODES.plural) == 0
    cluster.join("a")
    await asyncio.sleep(2 * TIMEOUT)
    assert cluster.writes() == cluster.writes(NODES.plural) == 0
    cluster.close()


@virtual
async def test_a_lease_renewed_since_the_last_look_stops_the_write() -> None:
    cluster = Cluster("a", "b")
    cluster.put("on-a", "a")
    await asyncio.sleep(1)
    cluster.cut("a")

    async def renewed(method: str, path: str) -> None:
        if method == "GET" and path.endswith(f"/{INSTANCES.plural}"):
            lease = cluster.api.read(LEASES, "node-a", NAMESPACE)
            spec = lease["spec"] | {"renewTime": "2099-01-01T00:00:00.000000Z"}
            cluster.api.put(LEASES, lease | {"spec": spec})

    cluster.api.before = renewed
    await asyncio.sleep(LEASE + SLACK)
    assert cluster.writes() == 0
    cluster.close()


@virtual
async def test_one_whose_selector_no_other_node_matches_stays_until_one_does() -> None:
    cluster = Cluster("a", "b")
    cluster.put("chosen", "a", selector={"gpu": "yes"})
    cluster.cut("a")
    await asyncio.sleep(TIMEOUT + 3 * LEASE)
    assert (cluster.node_of("chosen"), cluster.ready("chosen")) == ("a", UNKNOWN)
    cluster.nodes.by_name["b"].object.metadata.labels["gpu"] = "yes"
    await asyncio.sleep(2 * LEASE)
    assert cluster.node_of("chosen") is None
    cluster.close()
