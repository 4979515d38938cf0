"""Whose an instance is: a pool's own, an orphan, a forged one, one of a pool that is gone."""

import json
from typing import Any

from controller.api.instance import ChallengeInstance
from controller.cluster.client import INSTANCES, POOLS
from controller.manager.pools import Pools
from tests.unit.manager.serving import up
from tests.unit.reconcile.virtual_time import now, virtual


@virtual
async def test_one_that_is_gone_takes_its_instances_with_it() -> None:
    served = await up()
    served.pool("other")
    await served.pass_time()
    del served.cluster.objects[POOLS.path("web", "team")]
    await served.pass_time()
    assert {b["metadata"]["ownerReferences"][0]["uid"] for b in served.instances()} == {"uid-other"}


@virtual
async def test_one_that_went_while_no_manager_was_there_does_so_too() -> None:
    served = await up()
    await served.crash()
    del served.cluster.objects[POOLS.path("web", "team")]
    served.begin()
    await served.pass_time()
    assert served.names() == []


@virtual
async def test_made_anew_by_the_same_name_it_has_none_of_the_old_ones() -> None:
    served = await up()
    before = set(served.names())
    del served.cluster.objects[POOLS.path("web", "team")]
    served.pool(uid="another")
    await served.pass_time()
    assert not before & set(served.names())
    assert served.seeds() == {"1": 2, "2": 2}


@virtual
async def test_orphans_are_left_alone() -> None:
    """kubectl delete --cascade=orphan: the garbage collector takes the ownerReferences away."""
    served = await up()
    body = served.cluster.read(POOLS, "web", "team")
    body["metadata"] |= {
        "deletionTimestamp": "2026-01-31T12:00:00Z",
        "finalizers": ["orphan"],
        "generation": 2,
    }
    served.cluster.put(POOLS, body)
    await served.pass_time()
    for found in served.instances():
        found = json.loads(json.dumps(found))
        del found["metadata"]["ownerReferences"]
        served.cluster.put(INSTANCES, found)
    del served.cluster.objects[POOLS.path("web", "team")]
    await served.pass_time()
    assert len(served.names()) == 4


@virtual
async def test_one_that_is_being_deleted_is_not_worked_against() -> None:
    served = await up()
    body = served.cluster.read(POOLS, "web", "team")
    body["metadata"] |= {"deletionTimestamp": "2026-01-31T12:00:00Z", "generation": 2}
    served.cluster.put(POOLS, body)
    await served.pass_time(1)
    del served.cluster.objects[INSTANCES.path(served.names()[0], "team")]
    await served.pass_time()
    assert len(served.names()) == 3


@virtual
async def test_a_name_that_somebody_else_has_is_left_to_them() -> None:
    served = await up(seeds=("1",), replicas=1)
    (name,) = served.names()
    foreign = served.cluster.read(INSTANCES, name, "team")
    foreign["metadata"]["ownerReferences"] = []
    served.cluster.put(INSTANCES, foreign)
    await served.pass_time()
    assert len(served.names()) == 2
    assert served.cluster.read(INSTANCES, name, "team")["metadata"]["uid"]
    assert served.status().instances == 1


@virtual
async def test_who_says_falsely_to_be_a_pools_goes() -> None:
    """With an ownerReference that anybody can write: as a surplus, or for want of such a pool."""
    served = await up(seeds=("1",), replicas=1)
    (mine,) = served.names()
    for number, (uid, namespace) in enumerate(
        [("uid-web", "team"), ("uid-nobody", "team"), ("uid-web", "elsewhere")]
    ):
        body = served.cluster.read(INSTANCES, mine, "team")
        body["metadata"] |= {"name": f"forged-{number}", "uid": f"f-{number}"}
        body["metadata"]["namespace"] = namespace
        body["metadata"]["ownerReferences"][0]["uid"] = uid
        served.cluster.put(INSTANCES, body)
    await served.pass_time()
    assert served.names() == [mine]


@virtual
async def test_the_manager_vouches_only_for_what_a_pool_really_owns() -> None:
    served = await up(seeds=("1",), replicas=1)
    (body,) = served.instances()
    owner = served.pools.store.owner
    real = ChallengeInstance.model_validate(body)
    assert await owner(real) == "uid-web"
    reference = body["metadata"]["ownerReferences"][0]
    others: list[dict[str, Any]] = [
        {"uid": "x"},
        {"controller": False},
        {"kind": "Challenge"},
        {"apiVersion": "v1"},
    ]
    forged: list[dict[str, Any]] = [
        {"namespace": "elsewhere"},
        {"ownerReferences": []},
        *({"ownerReferences": [reference | other]} for other in others),
    ]
    for meta in forged:
        made = body | {"metadata": body["metadata"] | meta}
        assert await owner(ChallengeInstance.model_validate(made)) is None


@virtual
async def test_a_pool_that_the_watch_has_not_brought_yet_is_asked_for() -> None:
    served = await up(seeds=("1",), replicas=1)
    (body,) = served.instances()
    fresh = Pools(served.cluster, served.recorder, served.nodes, monotonic=now)
    assert await fresh.store.owner(ChallengeInstance.model_validate(body)) == "uid-web"
