"""A manager that looks after nodes over a stand-in for the API server, in virtual time.

A node renews its Lease every quarter of its duration until its link is cut.
"""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from controller.api.meta import FINALIZER
from controller.cluster.client import EVENTS, INSTANCES, LEASES, NODES, Object
from controller.cluster.events import Recorder
from controller.cluster.lease import micro_time
from controller.manager.health import Health
from controller.manager.nodes import Nodes
from controller.settings import load
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.manager.objects import NAMESPACE, condition, instance_body, lease_body, node_body
from tests.unit.reconcile.virtual_time import now

LEASE = 40
TIMEOUT = 300


class Cluster:
    """Nodes with instances, and one manager that looks after them."""

    def __init__(self, *names: str, timeout: float = TIMEOUT) -> None:
        self.api = FakeCluster()
        self.settings = load({"node_loss_timeout": timeout})
        self.recorder = Recorder(self.api, "test")
        self.links: dict[str, asyncio.Event] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self.moved_at: dict[str, float] = {}
        self.marked_at: dict[str, float] = {}
        self.first_move = asyncio.Event()
        self._renewals = itertools.count()
        self.api.after = self._note
        for name in names:
            self.node(name)
        self.manage()

    def manage(self) -> None:
        """A manager begins, with no memory."""
        self.nodes = Nodes(lambda: None, 2, now, lease_duration=LEASE)
        for body in self._all(NODES.plural):
            self.nodes.observe(body, deleted=False)
        self.health = Health(self.api, self.recorder, self.nodes, self.in_use, self.settings)
        self.managing = [
            asyncio.create_task(self.nodes.run(self.api, NAMESPACE)),
            asyncio.create_task(self.health.run()),
        ]
        self.tasks += self.managing

    def end_managing(self) -> None:
        """The manager is gone."""
        for task in self.managing:
            task.cancel()

    def close(self) -> None:
        """End everything."""
        for task in self.tasks:
            task.cancel()

    def node(self, name: str) -> None:
        """A node whose agent lives."""
        self.api.put(NODES, node_body(name))
        self.links[name] = asyncio.Event()
        self.links[name].set()
        self.tasks.append(asyncio.create_task(self._renew(name)))

    async def _renew(self, name: str) -> None:
        while True:
            await self.links[name].wait()
            self.renew_once(name)
            await asyncio.sleep(LEASE / 4)

    def renew_once(self, name: str) -> None:
        """A renewal that differs from all others."""
        at = datetime.now(UTC) + timedelta(milliseconds=next(self._renewals))
        self.api.put(LEASES, lease_body(name, micro_time(at), LEASE))

    def cut(self, *names: str) -> None:
        """Their agents reach the API server no more."""
        for name in names:
            self.links[name].clear()

    def join(self, *names: str) -> None:
        """They do again, and write what they have to say."""
        for name in names:
            self.nodes.observe(self.api.put(NODES, node_body(name)), deleted=False)
            self.links[name].set()

    def put(self, name: str, node: str | None, *, wait: bool = False, **rest: Any) -> None:
        """An instance that runs on a node."""
        status: Object = {
            "observedGeneration": 1,
            "template": {"containers": [{"name": "web", "image": "img:1"}]},
            "policy": {"nodeLossPolicy": "Wait" if wait else "Reschedule"},
            "conditions": rest.pop("conditions", None) or [condition("Ready", "True")],
        } | ({"nodeName": node} if node else {})
        spec = {"nodeSelector": rest.pop("selector", {})}
        meta = {"finalizers": [FINALIZER]} | rest
        self.api.put(INSTANCES, instance_body(name, spec=spec, status=status, **meta))

    def in_use(self) -> set[str]:
        """The names of nodes that instances are on."""
        found = {(o.get("status") or {}).get("nodeName") for o in self._all(INSTANCES.plural)}
        return {name for name in found if name}

    def _all(self, plural: str) -> list[Object]:
        return [o for path, o in self.api.objects.items() if path.split("/")[-2] == plural]

    def instance(self, name: str) -> Object:
        """An instance as it is now."""
        return self.api.read(INSTANCES, name, "team")

    def node_of(self, name: str) -> str | None:
        """The node in an instance's status."""
        found: str | None = self.instance(name)["status"].get("nodeName")
        return found

    def ready(self, name: str) -> tuple[str, str]:
        """Status and reason of an instance's Ready."""
        return _ready(self.instance(name))

    def node_ready(self, name: str) -> tuple[str, str]:
        """Status and reason of a node's Ready."""
        return _ready(self.api.read(NODES, name))

    async def events(self) -> int:
        """Events sent so far."""
        await self.recorder.flush()
        return self.api.count("POST", EVENTS.plural)

    def writes(self, part: str = INSTANCES.plural) -> int:
        """Writes so far of a status."""
        return self.api.count("PUT", part)

    async def _note(self, method: str, path: str) -> None:
        if method != "PUT" or INSTANCES.plural not in path:
            return
        name = path.split("/")[-2]
        times = self.marked_at if self.node_of(name) else self.moved_at
        assert name not in self.moved_at, "moved twice"
        times[name] = now()
        if self.moved_at:
            self.first_move.set()


def _ready(body: Object) -> tuple[str, str]:
    found = [c for c in body["status"]["conditions"] if c["type"] == "Ready"]
    return (found[0]["status"], found[0]["reason"]) if found else ("", "")
