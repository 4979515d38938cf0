"""A node is uninstalled when it is asked for and has no instance left, and never before."""

import asyncio

import pytest

from controller.agent import uninstall
from controller.agent.uninstall import PERIOD, UninstallAsked
from controller.api import conditions
from controller.api.annotations import UNINSTALL
from controller.cluster.client import INSTANCES, NAMESPACES, NODES
from controller.cluster.errors import ApiUnavailable
from tests.unit.agent.kept import Kept
from tests.unit.manager.objects import condition, instance_body
from tests.unit.reconcile.virtual_time import virtual

TOLD = "2026-01-31T12:00:00Z"


def watching(kept: Kept) -> "asyncio.Task[None]":
    """The agent waits until it is to uninstall its node."""
    services = kept.world.services
    home = services.home
    return asyncio.create_task(
        uninstall.watch(kept.cluster, services.settings, kept.keeper, home), name="watch"
    )


def ask(kept: Kept, value: str | None = TOLD) -> None:
    """The operator asks for it, or takes it back."""
    body = kept.cluster.read(NODES, "n1")
    body["metadata"]["annotations"] = {UNINSTALL: value} if value else {}
    kept.keeper.observe(kept.cluster.put(NODES, body))


def lives_in(kept: Kept, uid: str = "cluster") -> None:
    """Have the API server be that of a cluster; the ledger is of `cluster`."""
    kept.cluster.put(NAMESPACES, {"metadata": {"name": "kube-system", "uid": uid}})


def put(kept: Kept) -> None:
    """An instance on the node."""
    kept.cluster.put(INSTANCES, instance_body("web", status={"nodeName": "n1"}))


def said(kept: Kept) -> tuple[str, str, str]:
    """What the node says of it."""
    found = conditions.get(kept.shown().status.conditions, conditions.UNINSTALLED)
    return (found.status, found.reason, found.message) if found else ("", "", "")


@virtual
async def test_nothing_happens_to_a_node_that_nobody_asks_to_uninstall(kept: Kept) -> None:
    lives_in(kept)
    await kept.keeper.register()
    task = watching(kept)
    await asyncio.sleep(10 * PERIOD)
    assert not task.done()
    ask(kept)
    ask(kept, None)  # and it was taken back at once
    await asyncio.sleep(3 * PERIOD)
    assert not task.done()
    task.cancel()


@virtual
async def test_a_node_with_instances_says_so_and_goes_when_they_have_gone(kept: Kept) -> None:
    lives_in(kept)
    put(kept)
    await kept.keeper.register()
    task = watching(kept)
    ask(kept)
    await asyncio.sleep(3 * PERIOD)
    assert not task.done()
    assert said(kept) == (
        "False",
        "InstancesLeft",
        "Instances have to be deleted first: team/web",
    )
    del kept.cluster.objects[INSTANCES.path("web", "team")]
    with pytest.raises(UninstallAsked, match=TOLD):
        await task


@virtual
async def test_one_that_is_asked_for_before_its_agent_has_started_is_found(kept: Kept) -> None:
    lives_in(kept)
    meta = {"name": "n1", "annotations": {UNINSTALL: TOLD}}
    kept.cluster.put(NODES, {"metadata": meta, "spec": {}})
    await kept.keeper.register()
    with pytest.raises(UninstallAsked, match=TOLD):
        await watching(kept)


@virtual
async def test_an_api_server_that_is_away_or_anothers_is_not_believed(kept: Kept) -> None:
    lives_in(kept, "another")
    await kept.keeper.register()
    task = watching(kept)
    ask(kept)
    await asyncio.sleep(3 * PERIOD)
    assert not task.done()

    async def away(method: str, path: str) -> None:
        raise ApiUnavailable("away")

    lives_in(kept)
    kept.cluster.before = away
    await asyncio.sleep(3 * PERIOD)
    assert not task.done()
    kept.cluster.before = None
    with pytest.raises(UninstallAsked):
        await task


async def test_an_agent_that_serves_again_takes_back_what_it_had_said(kept: Kept) -> None:
    told = condition(conditions.UNINSTALLED, "True")
    for annotations, stays in (({UNINSTALL: TOLD}, True), ({}, False)):
        meta = {"name": "n1", "annotations": annotations}
        status = {"conditions": [told]}
        kept.cluster.put(NODES, {"metadata": meta, "spec": {}, "status": status})
        found = (await kept.status()).conditions
        assert conditions.is_true(found, conditions.UNINSTALLED) == stays
