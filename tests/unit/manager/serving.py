"""A manager's pools over a cluster, with a watch and agents, for the tests of pools."""

import asyncio
import json
from collections import Counter
from typing import Any

from controller.api.instance import ChallengeInstance
from controller.api.pool import PoolStatus
from controller.cluster.client import CHALLENGES, INSTANCES, NODES, POOLS, Object
from controller.cluster.events import Recorder
from controller.manager.nodes import Nodes
from controller.manager.pools import Pools
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.manager.objects import challenge_body, condition, pool_body
from tests.unit.reconcile.virtual_time import now


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
            changed = self.cluster.objects.changed
            await asyncio.sleep(0.02)
            here = dict(self.cluster.objects)
            for path, body in here.items():
                before = self.seen.get(path, body)
                if before["metadata"]["uid"] != body["metadata"]["uid"]:
                    self._gone(path, before)
                if self.seen.get(path) is not body:
                    self._changed(path, json.loads(json.dumps(body)))
            for path in self.seen.keys() - here.keys():
                self._gone(path, self.seen[path])
            self.seen = here
            self._count()
            await changed.wait()

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
