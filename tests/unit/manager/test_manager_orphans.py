"""Instances of a node that is gone for good, or of none at all: they move, or may go."""

import asyncio
from typing import Any

from controller.api import reasons
from controller.api.meta import FINALIZER
from controller.cluster.client import INSTANCES, LEASES, NODES
from controller.cluster.errors import Invalid
from tests.unit.manager.lossy import LEASE, Cluster
from tests.unit.manager.objects import NAMESPACE
from tests.unit.reconcile.virtual_time import virtual

GONE: dict[str, Any] = {
    "deletionTimestamp": "2026-01-31T12:00:00Z",
    "finalizers": [FINALIZER, "other/one"],
}


def forget(cluster: Cluster, name: str, *, lease: bool = True) -> None:
    """The ChallengeNode is deleted, and the Lease with it or not."""
    del cluster.api.objects[NODES.path(name)]
    if lease:
        cluster.api.objects.pop(LEASES.path(f"node-{name}", NAMESPACE), None)
    cluster.nodes.by_name.pop(name, None)


def finalizers(cluster: Cluster, name: str) -> list[str]:
    found: list[str] = cluster.instance(name)["metadata"]["finalizers"]
    return found


@virtual
async def test_a_node_forgotten_while_it_is_silent_gives_back_all_it_has() -> None:
    cluster = Cluster("a", "b")
    cluster.put("deleting", "a", **GONE)
    cluster.put("player", "a")
    cluster.put("waits", "a", wait=True)
    await asyncio.sleep(1)
    cluster.cut("a")
    await asyncio.sleep(2 * LEASE)
    assert finalizers(cluster, "deleting") == [FINALIZER, "other/one"]
    forget(cluster, "a")
    await asyncio.sleep(LEASE + 20)
    assert finalizers(cluster, "deleting") == ["other/one"], "others' finalizers are theirs"
    assert (cluster.node_of("player"), cluster.node_of("waits")) == (None, None)
    assert cluster.ready("player") == ("False", reasons.RESCHEDULED)
    assert await cluster.events() == 2
    cluster.close()


@virtual
async def test_a_node_deleted_while_its_agent_lives_keeps_all_until_its_agent_is_silent() -> None:
    cluster = Cluster("a", "b")
    cluster.put("deleting", "a", **GONE)
    cluster.put("player", "a")
    await asyncio.sleep(1)
    forget(cluster, "a", lease=False)
    await asyncio.sleep(10 * LEASE)
    assert (cluster.node_of("player"), len(finalizers(cluster, "deleting"))) == ("a", 2)
    cluster.cut("a")
    await asyncio.sleep(2 * LEASE)
    assert (cluster.node_of("player"), len(finalizers(cluster, "deleting"))) == (None, 1)
    cluster.close()


@virtual
async def test_a_lease_deleted_under_an_agent_that_lives_costs_it_nothing() -> None:
    cluster = Cluster("a", "b")
    cluster.put("player", "a")
    await asyncio.sleep(60)
    forget(cluster, "a")
    await asyncio.sleep(10 * LEASE)
    assert cluster.node_of("player") == "a"
    cluster.close()


@virtual
async def test_a_node_that_never_was_is_like_one_that_is_gone() -> None:
    cluster = Cluster("b")
    cluster.put("player", "nowhere")
    await asyncio.sleep(LEASE - 1)
    assert cluster.node_of("player") == "nowhere"
    await asyncio.sleep(20)
    assert cluster.node_of("player") is None
    cluster.close()


@virtual
async def test_a_node_that_the_watch_has_not_brought_yet_is_not_gone() -> None:
    cluster = Cluster("a", "b")
    cluster.put("player", "a")
    cluster.cut("a")
    cluster.nodes.by_name.pop("a")
    await asyncio.sleep(10 * LEASE)
    assert cluster.node_of("player") == "a"
    cluster.close()


@virtual
async def test_a_moved_instance_deleted_before_it_has_a_node_again_may_go() -> None:
    cluster = Cluster("b")
    cluster.put("deleting", None, **GONE)
    cluster.health.orphans.observe(cluster.instance("deleting"))
    await asyncio.sleep(10)
    assert finalizers(cluster, "deleting") == ["other/one"]
    cluster.put("changed", None, **GONE)
    cluster.health.orphans.observe(cluster.instance("changed"))
    cluster.api.put(INSTANCES, cluster.instance("changed"))
    await asyncio.sleep(10)
    assert len(finalizers(cluster, "changed")) == 2, "not over what was not read"
    cluster.close()


@virtual
async def test_an_agent_that_returns_meanwhile_keeps_what_is_left() -> None:
    cluster = Cluster("b")
    for number in range(50):
        cluster.put(f"i-{number:02}", "a")
    await asyncio.sleep(1)
    await cluster.first_move.wait()
    cluster.renew_once("a")
    before = len(cluster.moved_at)
    await asyncio.sleep(LEASE / 2)
    assert len(cluster.moved_at) <= before + 1
    cluster.close()


@virtual
async def test_one_that_cannot_be_let_go_holds_up_neither_the_others_nor_a_lost_node() -> None:
    cluster = Cluster("a", "b")
    for name in ("refused", "other"):
        cluster.put(name, None, **GONE)
        cluster.health.orphans.observe(cluster.instance(name))
    cluster.put("player", "a")

    async def refuse(method: str, path: str) -> None:
        if method == "PATCH" and path.endswith("/refused"):
            raise Invalid(422, "Invalid", "a webhook says no", {})

    cluster.api.before = refuse
    await asyncio.sleep(60)
    cluster.cut("a")
    await asyncio.sleep(2 * LEASE)
    assert finalizers(cluster, "other") == ["other/one"]
    assert cluster.ready("player") == ("Unknown", reasons.NODE_LOST)
    cluster.api.before = None
    await asyncio.sleep(2 * LEASE)
    assert finalizers(cluster, "refused") == ["other/one"], "it is tried again"
    cluster.close()
