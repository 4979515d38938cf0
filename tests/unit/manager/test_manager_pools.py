"""Pools against a cluster: what there is in the end, whatever happens on the way."""

import asyncio
import json
from collections import Counter
from typing import Any

from controller.api.instance import ChallengeInstance
from controller.api.pool import PoolStatus
from controller.cluster.client import CHALLENGES, EVENTS, INSTANCES, NODES, POOLS, Object
from controller.cluster.errors import ApiUnavailable, Conflict, Forbidden
from controller.cluster.events import Recorder
from controller.manager.nodes import Nodes
from controller.manager.pool_writes import PARALLEL
from controller.manager.pools import BACKOFF, Pools
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.manager.objects import challenge_body, condition, node_body, pool_body
from tests.unit.reconcile.virtual_time import now, virtual


class Serving:
    """A manager's pools over a cluster with a watch; agents that make instances ready at once."""

    def __init__(self, cluster: FakeCluster | None = None, *, agents: bool = True) -> None:
        self.cluster = cluster or FakeCluster()
        self.agents = agents
        self.fewest: dict[str, int] = {}
        self.most = 0
        self.begin()

    def begin(self) -> None:
        """Have a manager that knows nothing yet."""
        self.recorder = Recorder(self.cluster, "test")
        self.nodes = Nodes(lambda: None, 2)
        self.pools = Pools(self.cluster, self.recorder, self.nodes, monotonic=now)
        self.seen: dict[str, Object] = {}
        self.tasks = [asyncio.create_task(self.pools.run()), asyncio.create_task(self._watch())]

    async def crash(self) -> None:
        """End the manager where it stands."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def pass_time(self, seconds: float = 30.0) -> None:
        await asyncio.sleep(seconds)

    def pool(self, name: str = "web", **rest: Any) -> None:
        self.cluster.put(POOLS, pool_body(name, **rest))

    def challenge(self, image: str = "img:1", **spec: Any) -> None:
        self.cluster.put(CHALLENGES, challenge_body(image=image, **spec))

    def change(self, name: str = "web", **spec: Any) -> None:
        """What `kubectl patch` does."""
        body = self.cluster.read(POOLS, name, "team")
        body["metadata"]["generation"] += 1
        body["spec"] |= spec
        self.cluster.put(POOLS, body)

    def instances(self) -> list[Object]:
        paths = [path for path in self.cluster.objects if f"/{INSTANCES.plural}/" in path]
        return [self.cluster.objects[path] for path in sorted(paths)]

    def names(self) -> list[str]:
        return [body["metadata"]["name"] for body in self.instances()]

    def seeds(self) -> Counter[str]:
        return Counter(body["spec"]["seed"] for body in self.instances())

    def images(self) -> set[str]:
        return {body["status"]["template"]["containers"][0]["image"] for body in self.instances()}

    def status(self, name: str = "web") -> PoolStatus:
        return PoolStatus.model_validate(self.cluster.read(POOLS, name, "team")["status"])

    def ready(self, name: str = "web") -> tuple[str, str, list[str]]:
        """Status and reason of Ready, and which of the two others are True."""
        found = {c.type: c for c in self.status(name).conditions}
        others = sorted(found.keys() - {"Ready"})
        return found["Ready"].status, found["Ready"].reason, others

    async def _watch(self) -> None:
        """Tell what has changed, some 20 ms later, and act for the nodes."""
        while True:
            await asyncio.sleep(0.02)
            here = dict(self.cluster.objects)
            for path, body in here.items():
                before = self.seen.get(path, body)
                if before["metadata"]["uid"] != body["metadata"]["uid"]:
                    self._gone(path, before)
                if self.seen.get(path) != body:
                    self._changed(path, json.loads(json.dumps(body)))
            for path in self.seen.keys() - here.keys():
                self._gone(path, self.seen[path])
            self.seen = here
            self._count()

    def _changed(self, path: str, body: Object) -> None:
        kind = path.split("/")[-2]
        if kind == POOLS.plural:
            self.pools.observe(body, False)
        elif kind == CHALLENGES.plural:
            self.pools.store.observe_challenge(body, deleted=False)
        elif kind == NODES.plural:
            self.nodes.observe(body, deleted=False)
            self.pools.nodes_changed()
        elif kind == INSTANCES.plural:
            self.pools.store.observe_instance(ChallengeInstance.model_validate(body))
            if self.agents and "nodeName" not in body.get("status", {}):
                self._launch(body)

    def _gone(self, path: str, body: Object) -> None:
        if f"/{POOLS.plural}/" in path:
            self.pools.observe(body, True)
        elif f"/{INSTANCES.plural}/" in path:
            self.pools.store.forget(body["metadata"]["uid"])

    def _launch(self, body: Object) -> None:
        """Place it on the first node that takes it, and have it Ready."""
        free = [n.name for n in self.nodes.by_name.values() if not n.object.spec.unschedulable]
        name = body["metadata"]["name"]
        challenge = self.cluster.read(CHALLENGES, "echo", "team")
        bad = challenge["spec"]["template"]["containers"][0]["image"] == "bad"
        conditions = [condition("Ready", "False" if bad else "True", "CrashLoop")]
        conditions += [condition("Stalled", "True", "CrashLoop")] * bad
        self.cluster.put(
            INSTANCES,
            self.cluster.read(INSTANCES, name, "team")
            | {
                "status": {
                    "nodeName": free[0] if free else "n0",
                    "template": challenge["spec"]["template"],
                    "conditions": conditions,
                }
            },
        )

    def _count(self) -> None:
        up = Counter[str]()
        for body in self.instances():
            ready = [
                c for c in body.get("status", {}).get("conditions", []) if c["type"] == "Ready"
            ]
            up[body["spec"]["seed"]] += bool(ready and ready[0]["status"] == "True")
        for seed in up:
            self.fewest[seed] = min(self.fewest.get(seed, 99), up[seed])
        self.most = max(self.most, len(self.instances()))


async def up(**rest: Any) -> Serving:
    """A pool that has all it asks for."""
    served = Serving()
    served.challenge()
    served.pool(**rest)
    await served.pass_time()
    served.fewest, served.most = {}, 0
    return served


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
async def test_a_changed_template_rolls_and_no_seed_is_ever_short() -> None:
    served = await up()
    before = set(served.names())
    served.change(instanceTemplate={"metadata": {"labels": {"event": "finals"}}})
    await served.pass_time()
    assert not before & set(served.names())
    assert served.seeds() == {"1": 2, "2": 2}
    assert (served.fewest, served.most) == ({"1": 2, "2": 2}, 5)
    assert served.ready() == ("True", "Ready", [])


@virtual
async def test_a_changed_challenge_rolls_the_pool() -> None:
    served = await up()
    served.challenge("img:2")
    await served.pass_time()
    assert served.images() == {"img:2"}
    assert (served.fewest, served.most) == ({"1": 2, "2": 2}, 5)


@virtual
async def test_a_challenge_that_changes_in_what_is_not_its_template_rolls_nothing() -> None:
    served = await up()
    before = served.names()
    served.challenge(ttl={"maximum": "2h"})
    await served.pass_time()
    assert served.names() == before


@virtual
async def test_a_template_that_does_not_run_stops_the_roll_and_is_told() -> None:
    served = await up()
    served.challenge("bad")
    await served.pass_time(120)
    assert served.fewest == {"1": 2, "2": 2}
    assert served.ready() == ("False", "Updating", ["Stalled"])
    made = served.cluster.count("POST", INSTANCES.plural)
    await served.pass_time(600)
    assert served.cluster.count("POST", INSTANCES.plural) == made, "no loop of new ones"
    served.challenge("img:1")
    await served.pass_time()
    assert (served.images(), served.ready()) == ({"img:1"}, ("True", "Ready", []))


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
    assert served.ready() == ("False", "ChallengeNotFound", ["Stalled"])
    assert served.names() == []
    await served.recorder.flush()
    assert served.cluster.count("POST", EVENTS.plural) == 1
    served.challenge()
    await served.pass_time()
    assert served.ready() == ("True", "Ready", [])


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


@virtual
async def test_a_drained_node_is_left_by_each_once_its_successor_is_ready() -> None:
    served = await up(surge=0, unavailable=1)
    served.cluster.put(NODES, node_body("n0"))
    served.cluster.put(NODES, node_body("n1"))
    await served.pass_time(1)
    served.cluster.put(NODES, node_body("n0", unschedulable=True))
    await served.pass_time()
    assert {b["status"]["nodeName"] for b in served.instances()} == {"n0"}, "cordoned is no drain"
    served.cluster.put(NODES, node_body("n0", unschedulable=True, drain="Managed"))
    await served.pass_time()
    assert {b["status"]["nodeName"] for b in served.instances()} == {"n1"}
    assert (served.fewest, served.most) == ({"1": 2, "2": 2}, 5)
    assert served.ready() == ("True", "Ready", [])


@virtual
async def test_without_room_elsewhere_a_drained_node_keeps_what_it_has() -> None:
    served = await up()
    served.agents = False
    served.cluster.put(NODES, node_body("n0", unschedulable=True, drain="All"))
    await served.pass_time()
    assert (len(served.names()), served.fewest) == (5, {"1": 2, "2": 2})
    assert served.ready() == ("True", "Ready", ["Reconciling"])
    assert [c.reason for c in served.status().conditions] == ["Ready", "Draining"]
    served.cluster.put(NODES, node_body("n0"))
    await served.pass_time()
    assert len(served.names()) == 4
    assert {b["status"]["nodeName"] for b in served.instances()} == {"n0"}


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
