"""Pools while managers crash, the API server refuses or is away, and the watch loses things."""

import asyncio

from controller.api.instance import ChallengeInstance
from controller.cluster.client import CHALLENGES, INSTANCES, POOLS
from controller.cluster.errors import ApiUnavailable, Conflict, Forbidden
from controller.manager.pools import BACKOFF
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.manager.objects import challenge_body, pool_body
from tests.unit.manager.serving import Serving, up
from tests.unit.reconcile.virtual_time import virtual


@virtual
async def test_a_manager_that_crashed_anywhere_makes_no_second_one() -> None:
    """After the first request, after the second, … until one gets through."""
    for survived in range(1, 40):
        served = Serving()
        served.challenge()
        served.pool()
        left = survived

        async def die(_method: str, _path: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise asyncio.CancelledError

        served.cluster.after = die
        await served.pass_time(5)
        served.cluster.after = None
        await served.crash()
        died = left < 0
        served.begin()
        await served.pass_time()
        assert served.seeds() == {"1": 2, "2": 2}, f"died after {survived} requests"
        assert served.most == 4
        await served.crash()
        if not died:
            return
    raise AssertionError("no run got through")


@virtual
async def test_two_managers_at_once_make_none_twice() -> None:
    served = Serving()
    other = Serving(served.cluster)
    served.challenge()
    served.pool()
    await served.pass_time()
    assert (served.seeds(), served.most) == ({"1": 2, "2": 2}, 4)
    served.change(replicas=5)
    await served.pass_time()
    assert (served.seeds(), served.most) == ({"1": 5, "2": 5}, 10)
    await other.crash()


@virtual
async def test_what_the_api_server_refuses_is_told_and_tried_again_with_pauses() -> None:
    served = Serving()

    async def refused(method: str, path: str) -> None:
        if method == "POST" and INSTANCES.plural in path:
            raise Forbidden(403, "Forbidden", "exceeded quota: instances=2", {})

    served.cluster.before = refused
    served.challenge()
    served.pool(seeds=("1",), replicas=1)
    await served.pass_time(sum(BACKOFF) + 1)
    assert served.ready() == ("False", "FailedCreate", ["Stalled"])
    assert "exceeded quota: instances=2" in served.status().conditions[0].message
    assert served.cluster.count("POST", INSTANCES.plural) == len(BACKOFF) + 1
    served.cluster.before = None
    await served.pass_time(BACKOFF[-1])
    assert served.ready() == ("True", "Ready", [])


@virtual
async def test_an_api_server_that_is_away_is_asked_again() -> None:
    served = await up()

    async def away(_method: str, _path: str) -> None:
        raise ApiUnavailable("away")

    served.cluster.before = away
    served.change(replicas=3)
    await served.pass_time(60)
    served.cluster.before = None
    await served.pass_time(10)
    assert served.seeds() == {"1": 3, "2": 3}


@virtual
async def test_a_surplus_that_has_changed_meanwhile_is_looked_at_again() -> None:
    served = await up()

    async def changed(method: str, _path: str) -> None:
        if method == "DELETE":
            served.cluster.before = None
            raise Conflict(409, "Conflict", "changed", {})

    served.cluster.before = changed
    served.change(replicas=1)
    await served.pass_time()
    assert served.seeds() == {"1": 1, "2": 1}
    bodies = zip(served.cluster.requests, served.cluster.bodies, strict=True)
    for sent in [body for (method, _), body in bodies if method == "DELETE"]:
        assert sent is not None
        assert set(sent["preconditions"]) == {"uid", "resourceVersion"}


@virtual
async def test_what_the_watch_has_lost_the_resync_brings() -> None:
    served = await up()
    served.tasks[1].cancel()  # the watch
    served.change(replicas=3)
    served.challenge("img:2")
    await served.pass_time()
    assert served.seeds() == {"1": 2, "2": 2}
    await served.pools.resync()
    await served.pass_time(1)
    assert served.status().observed_generation == 2
    assert len(served.names()) == 7


@virtual
async def test_a_manager_that_begins_reads_what_there_is_before_it_makes_any() -> None:
    """Its watch may bring the instances after the pool, or late."""
    served = await up()
    del served.cluster.objects[INSTANCES.path(served.names()[0], "team")]
    await served.pass_time()
    await served.crash()
    made = served.cluster.count("POST", INSTANCES.plural)
    served.begin()
    served.tasks[1].cancel()  # the watch
    await served.pass_time()
    assert served.cluster.count("POST", INSTANCES.plural) == made


@virtual
async def test_instances_of_a_pool_that_the_watch_has_not_brought_yet_are_kept() -> None:
    served = await up()
    await served.crash()
    pool = served.cluster.objects.pop(POOLS.path("web", "team"))
    bodies = [served.cluster.objects.pop(INSTANCES.path(n, "team")) for n in served.names()]
    served.begin()
    served.tasks[1].cancel()  # the watch
    await served.pass_time(1)
    served.cluster.put(POOLS, pool)
    for body in bodies:
        served.cluster.put(INSTANCES, body)
        served.pools.store.observe_instance(ChallengeInstance.model_validate(body))
    await served.pass_time()
    assert served.cluster.count("DELETE") == 0


@virtual
async def test_its_replicas_are_those_of_the_seed_that_has_the_fewest() -> None:
    served = await up()

    async def refused(method: str, path: str) -> None:
        if method == "POST" and INSTANCES.plural in path:
            raise Forbidden(403, "Forbidden", "exceeded quota: instances=3", {})

    served.cluster.before = refused
    del served.cluster.objects[INSTANCES.path(served.names()[0], "team")]
    await served.pass_time()
    status = served.status()
    assert (status.replicas, status.instances, status.ready_instances) == (1, 3, 3)


@virtual
async def test_what_comes_while_all_is_read_anew_is_not_dropped() -> None:
    """The lists were made before it was there."""
    store = Serving().pools.store
    cluster = FakeCluster()

    async def come(method: str, path: str) -> None:
        if path.endswith(f"/{CHALLENGES.plural}"):
            store.observe_challenge(challenge_body(), deleted=False)
            store.observe(pool_body(resourceVersion="1"), deleted=False)

    store._cluster, cluster.after = cluster, come
    await store.load()
    (pool,) = store.pools.values()
    assert store.template(pool)
    cluster.after = None
    await store.load()
    assert store.pools == {}, "it is not in the next lists, so it is gone"
    assert store.template(pool) is None
