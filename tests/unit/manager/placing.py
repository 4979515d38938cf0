"""A manager's placement over a cluster in a dictionary, as its tests drive it."""

import asyncio
from typing import Any

from controller.api.instance import ChallengeInstance
from controller.cluster.client import CHALLENGES, INSTANCES, Object
from controller.cluster.events import Recorder
from controller.manager.assignments import Assignments
from controller.manager.challenges import Challenges
from controller.manager.nodes import Nodes
from controller.manager.pending import Pending
from controller.manager.quota import Quota
from controller.manager.scheduler import Scheduler
from controller.manager.seen import Seen
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.manager.objects import instance_body, node_body, template
from tests.unit.reconcile.virtual_time import settle


class Placing:
    """A manager's placement over a cluster of these nodes, each with a gate of 2."""

    def __init__(self, *nodes: str, ports: int = 100, quota: int = 0, launches: int = 2) -> None:
        self.cluster = FakeCluster()
        self.challenges, self.quota = Challenges(self.cluster), Quota(quota)
        self.pending, self.assigned = Pending(), Assignments()
        self.recorder = Recorder(self.cluster, "test")
        self.nodes = Nodes(lambda: None, launches)
        for name in nodes:
            self.node(name, ports)
        self.scheduler = Scheduler(
            self.cluster,
            self.recorder,
            self.nodes,
            self.pending,
            self.assigned,
            challenges=self.challenges,
            quota=self.quota,
        )
        self.seen = Seen()
        self.task = asyncio.create_task(self.scheduler.run())

    def node(self, name: str, ports: int = 100, **spec: Any) -> None:
        """A node that is alive."""
        self.nodes.observe(node_body(name, ports=ports, **spec), deleted=False)
        self.nodes.by_name[name].alive = True

    def challenge(self, name: str, ports: int = 1, **spec: Any) -> Object:
        """A Challenge, as the watch brings it; returns what it brought."""
        spec = {"template": template(ports)} | spec
        meta = {"name": name, "namespace": "team"}
        body = self.cluster.put(CHALLENGES, {"metadata": meta, "spec": spec})
        self.challenges.observe(body, deleted=False)
        return body

    def put(self, name: str, **rest: Any) -> None:
        """An instance that waits, as the watch brings it."""
        self.bring(self.cluster.put(INSTANCES, instance_body(name, **rest)))

    def bring(self, body: Object) -> None:
        """The watch brings an instance as it is, or was."""
        if not self.seen.is_news(body):
            return
        instance = ChallengeInstance.model_validate(body)
        if instance.status.node_name is None:
            self.scheduler.waits(instance, body)
        else:
            self.scheduler.has_node(instance, instance.status.node_name)

    def bring_now(self, name: str) -> None:
        """The watch brings an instance as it is now."""
        self.bring(self.cluster.read(INSTANCES, name, "team"))

    def remove(self, name: str) -> None:
        """An instance is gone, and the watch says so."""
        del self.cluster.objects[INSTANCES.path(name, "team")]
        self.seen.forget(f"uid-{name}")
        self.scheduler.gone(f"uid-{name}")

    def launch(self, name: str) -> None:
        """Its agent has launched it, and the watch says so."""
        body = self.cluster.read(INSTANCES, name, "team")
        body["status"]["conditions"].append(_LAUNCHED)
        self.bring(self.cluster.put(INSTANCES, body))

    async def round(self, pause: float = 0.0) -> None:
        """Something has changed; let everything come of it."""
        self.scheduler.kick()
        await self.settled(pause)

    async def settled(self, pause: float = 0.0) -> None:
        """Let everything come of what the watch has brought."""
        await settle()
        await asyncio.sleep(pause)

    def node_of(self, name: str) -> str | None:
        """Where an instance was placed."""
        status: dict[str, str] = self.status(name)
        return status.get("nodeName")

    def placed(self, *names: str) -> list[str]:
        """Those of the names that have a node."""
        return [name for name in names if self.node_of(name)]

    def status(self, name: str) -> Any:
        """What an instance's user sees."""
        return self.cluster.read(INSTANCES, name, "team")["status"]

    def said(self, name: str, kind: str = "Ready") -> Any:
        """A condition of an instance; empty when it has none of that kind."""
        found = [c for c in self.status(name).get("conditions", []) if c["type"] == kind]
        return found[0] if found else {}

    def reason(self, name: str) -> str | None:
        """Why an instance is not ready, as its status has it."""
        reason: str | None = self.said(name).get("reason")
        return reason

    def count(self, node: str) -> int:
        """Instances assigned to a node."""
        return self.assigned.load(node).instances


_LAUNCHED = {
    "type": "Launched",
    "status": "True",
    "reason": "Launched",
    "message": "",
    "lastTransitionTime": "2026-01-31T12:00:00Z",
}
