"""Pools against a cluster: what there is in the end, whatever happens on the way."""

import asyncio

from controller.cluster.client import EVENTS, INSTANCES
from controller.manager.pool_writes import PARALLEL
from tests.unit.manager.serving import Serving, up
from tests.unit.reconcile.virtual_time import virtual


@virtual
async def test_each_seed_has_its_replicas_and_the_pool_says_so() -> None:
    served = await up()
    assert served.seeds() == {"1": 2, "2": 2}
    status = served.status()
    assert (status.replicas, status.instances, status.ready_instances) == (2, 4, 4)
    assert (status.observed_generation, status.selector) == (1, "challenge-controller.io/pool=web")
    assert served.ready() == ("True", "Ready", [])
    before = len(served.cluster.requests)
    await served.pass_time(600)
    assert len(served.cluster.requests) == before, "nothing to do, and something is done"


@virtual
async def test_what_is_deleted_is_made_again() -> None:
    served = await up()
    del served.cluster.objects[INSTANCES.path(served.names()[0], "team")]
    await served.pass_time(1)
    assert served.seeds() == {"1": 2, "2": 2}


@virtual
async def test_what_is_being_deleted_does_not_count_and_keeps_its_name() -> None:
    """Its node may be away and its end take days."""
    served = await up()
    name = served.names()[0]
    body = served.cluster.read(INSTANCES, name, "team")
    body["metadata"]["deletionTimestamp"] = "2026-01-31T12:00:00Z"
    served.cluster.put(INSTANCES, body)
    await served.pass_time(1)
    assert len(served.names()) == 5
    assert served.status().instances == 4


@virtual
async def test_scaled_up_down_and_to_nothing() -> None:
    served = await up()
    served.change(replicas=3)
    await served.pass_time()
    assert (served.seeds(), served.status().replicas) == ({"1": 3, "2": 3}, 3)
    served.change(replicas=1)
    await served.pass_time()
    assert (served.seeds(), served.status().replicas) == ({"1": 1, "2": 1}, 1)
    served.change(replicas=0)
    await served.pass_time()
    assert (served.names(), served.status().replicas) == ([], 0)
    assert served.ready() == ("True", "Ready", [])


@virtual
async def test_instances_that_crash_are_left_to_somebodys_help() -> None:
    served = Serving()
    served.challenge("bad")
    served.pool()
    await served.pass_time(600)
    assert served.cluster.count("POST", INSTANCES.plural) == 4
    assert served.ready() == ("False", "CrashLoop", ["Stalled"])
    message = served.status().conditions[0].message
    assert message.startswith("0 of 4 instances are ready; not ready: web-")
    assert message.endswith("(CrashLoop) and 1 more")


@virtual
async def test_without_its_challenge_it_says_so_and_goes_on_when_it_comes() -> None:
    served = Serving()
    served.pool()
    await served.pass_time()
    assert served.ready() == ("False", "ChallengeNotFound", ["Reconciling"])
    assert served.names() == []
    await served.recorder.flush()
    assert served.cluster.count("POST", EVENTS.plural) == 1
    served.challenge()
    await served.pass_time()
    assert served.ready() == ("True", "Ready", [])


@virtual
async def test_a_big_pool_comes_eight_at_a_time_and_its_status_in_few_writes() -> None:
    served = Serving()
    at_once = most = 0

    async def enter(method: str, _path: str) -> None:
        nonlocal at_once, most
        if method == "POST":
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.01)

    async def leave(method: str, _path: str) -> None:
        nonlocal at_once
        at_once -= method == "POST"

    served.cluster.before, served.cluster.after = enter, leave
    served.challenge()
    served.pool(seeds=tuple(map(str, range(10))), replicas=30)
    await served.pass_time()
    assert served.ready() == ("True", "Ready", [])
    assert most == PARALLEL
    assert served.cluster.count("POST", INSTANCES.plural) == 300
    assert served.cluster.count("PUT", "/status") <= 5
