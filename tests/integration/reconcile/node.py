"""A node with a real engine and a real ledger; only the API server is a stand-in.

For what must be right to the single call: an engine's calls can be failed one by one, before or
after they happen, and a reconcile is begun by the test alone.
"""

import asyncio
import enum
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

import docker

from controller.api import conditions
from controller.api.instance import ChallengeInstance, InstanceStatus
from controller.cluster.client import INSTANCES, Object
from controller.cluster.events import Recorder
from controller.ledger import Ledger
from controller.reconcile.attempts import Attempts
from controller.reconcile.batch import FinalizeBatch
from controller.reconcile.bridges import SharedBridges
from controller.reconcile.clock import SystemClock, milliseconds
from controller.reconcile.gate import Gate
from controller.reconcile.instance import InstanceReconciler
from controller.reconcile.outages import Outages
from controller.reconcile.ownnetworks import OwnNetworks
from controller.reconcile.queue import Backoff, Key
from controller.reconcile.readiness import Readiness
from controller.reconcile.services import Services
from controller.runtime import containers, labels, networks
from controller.runtime.containers import ContainerState
from controller.runtime.engine import Engine
from controller.runtime.images import Images
from controller.runtime.probes import Probes
from controller.settings import load
from tests.unit.cluster.fake_cluster import FakeCluster

T = TypeVar("T")

PATIENCE = 120.0
HELD_BACK = 0.2
"""Seconds after which a call that is held back counts as not answered."""


class When(enum.Enum):
    """Whether the engine has carried a failed call out."""

    BEFORE = "before"
    AFTER = "after"


class FaultyEngine(Engine):
    """Fails the nth call that changes something, counted from `arm`; also all those after it."""

    def __init__(self, url: str, *, timeout: float) -> None:
        super().__init__(url, timeout=timeout)
        self.held_back: dict[str, tuple[threading.Event, float]] = {}

    armed = 0
    calls = 0
    fault: Exception
    when = When.BEFORE
    lasting = False
    before: Callable[[str], None] | None = None

    def hold(self, name: str, released: threading.Event, patience: float = HELD_BACK) -> None:
        """Leave calls on that name unanswered until then, as an engine that hangs at one thing.

        `patience` is the call's time-out, in seconds.
        """
        self.held_back[name] = released, patience

    def arm(self, nth: int, fault: Exception, when: When, *, lasting: bool = False) -> None:
        """Fail that call, counted from 1, with this; `lasting`: and the later ones."""
        self.armed, self.calls, self.lasting = nth, 0, lasting
        self.fault, self.when = fault, when

    def disarm(self) -> bool:
        """Fail no more; whether any call has failed."""
        fired, self.armed = 0 < self.armed <= self.calls, 0
        return fired

    async def call(
        self,
        fn: Callable[[docker.APIClient], T],
        *,
        effect: bool,
        name: str | None = None,
        timeout: float | None = None,
        lane: asyncio.Semaphore | None = None,
    ) -> T:
        """The engine's, unless it is this one's turn to fail."""
        if effect:
            self.calls += 1
            if self.before:
                self.before(name or "")
        fails = (
            effect
            and self.armed
            and (self.calls == self.armed or (self.lasting and self.calls > self.armed))
        )
        if fails and self.when is When.BEFORE:
            raise self.fault
        made = fn
        if effect and name in self.held_back:
            released, timeout = self.held_back.pop(name)

            def made(client: docker.APIClient) -> T:
                released.wait()
                return fn(client)

        result = await super().call(made, effect=effect, name=name, timeout=timeout, lane=lane)
        if fails:
            raise self.fault
        return result


@dataclass
class Monotonic:
    """A clock that goes on by itself, and can be put forward."""

    ahead: float = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return time.monotonic() + self.ahead


@dataclass
class Node:
    """An agent's reconciler, and what is behind it."""

    services: Services
    cluster: FakeCluster
    engine: FaultyEngine
    monotonic: Monotonic
    woken: asyncio.Event
    reconciler: InstanceReconciler = field(init=False)
    forgotten: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """The reconciler of these services."""
        self.reconciler = InstanceReconciler(self.services, self.forgotten.append)

    def apply(
        self, template: Object, *, name: str = "web", annotations: Object | None = None, **spec: Any
    ) -> Key:
        """An instance that was placed here, new or changed."""
        path = INSTANCES.path(name, "team")
        before = self.cluster.objects.get(path, {})
        meta: Object = {"name": name, "namespace": "team", "generation": 1, "annotations": {}}
        meta |= {"uid": str(uuid.uuid4())} | before.get("metadata", {})
        meta["annotations"] = meta["annotations"] | (annotations or {})
        status = before.get("status") or {"nodeName": self.services.settings.node_name}
        body = {"metadata": meta, "spec": {"template": template} | spec, "status": status}
        self.cluster.put(INSTANCES, body)
        return Key(str(meta["uid"]), "team", name)

    async def look(self, key: Key) -> InstanceStatus:
        """One reconcile; what the status says then."""
        self.woken.clear()
        await self.reconciler.reconcile(key)
        return self.status(key)

    def status(self, key: Key) -> InstanceStatus:
        """The status as written last."""
        return ChallengeInstance.model_validate(
            self.cluster.read(INSTANCES, key.name, key.namespace)
        ).status

    def reason(self, key: Key) -> str:
        """The reason of Ready; empty when there is no such condition."""
        ready = conditions.get(self.status(key).conditions, conditions.READY)
        return ready.reason if ready else ""

    async def until(self, key: Key, done: Callable[[InstanceStatus], bool]) -> InstanceStatus:
        """Reconcile whenever somebody wakes the instance, or a moment has passed."""
        async with asyncio.timeout(PATIENCE):
            while not done(status := await self.look(key)):
                try:
                    async with asyncio.timeout(0.2):
                        await self.woken.wait()
                except TimeoutError:
                    continue
        return status

    async def up(self, key: Key) -> InstanceStatus:
        """Until it is Ready."""
        return await self.until(
            key, lambda status: conditions.is_true(status.conditions, conditions.READY)
        )

    def read(self, key: Key) -> Object:
        """The object as it is, to be changed and put back."""
        return self.cluster.read(INSTANCES, key.name, key.namespace)

    def put(self, body: Object) -> None:
        """Write it as somebody else would."""
        self.cluster.put(INSTANCES, body)

    def mark_deleted(self, key: Key) -> None:
        """Ask for its deletion."""
        body = self.read(key)
        body["metadata"]["deletionTimestamp"] = "2026-01-31T12:00:00Z"
        self.put(body)

    async def delete(self, key: Key) -> None:
        """Delete it and wait for its end."""
        self.mark_deleted(key)
        await self.until(key, lambda _: key.uid in self.forgotten)

    async def until_gone(self, key: Key) -> None:
        """Reconcile until the ledger has no row of it."""
        await self.until(key, lambda _: self.services.ledger.get(key.uid) is None)

    async def exit_codes(self, name: str) -> list[str]:
        """With what the containers of that name have ended, as the engine remembers it."""

        def told(client: docker.APIClient) -> list[Any]:
            wanted = {"type": ["container"], "event": ["die"], "container": [name]}
            now = int(time.time()) + 1
            return list(client.events(since=now - 600, until=now, filters=wanted, decode=True))

        found = await self.services.engine.call(told, effect=False, timeout=PATIENCE)
        return [event["Actor"]["Attributes"]["exitCode"] for event in found]

    async def containers(self, key: Key) -> list[ContainerState]:
        """The instance's containers."""
        installation = self.services.settings.installation
        return await containers.list_containers(
            self.services.engine, installation=installation, uid=key.uid
        )

    async def own_networks(self) -> list[str]:
        """Networks that are instances' own."""
        found = await networks.list_networks(
            self.services.engine, installation=self.services.settings.installation
        )
        return [network.name for network in found if network.kind == labels.KIND_INSTANCE]

    async def volumes(self) -> set[str]:
        """All volumes of the engine."""
        found = await self.services.engine.call(lambda client: client.volumes(), effect=False)
        return {volume["Name"] for volume in found["Volumes"] or []}

    def held(self) -> int:
        """Ports that the ledger has given out."""
        usage = self.services.ledger.usage()
        return usage.reserved + usage.confirmed

    async def clear(self) -> None:
        """Remove what a test has left behind."""
        engine, installation = self.services.engine, self.services.settings.installation
        self.engine.disarm()
        self.engine.before = None
        await self.services.readiness.close()
        for state in await containers.list_containers(engine, installation=installation):
            await containers.remove(engine, state.id, stop_timeout=0)
        for network in await networks.list_networks(engine, installation=installation):
            await networks.remove_network(engine, network.name)
        await engine.close()


class NoJitter(Random):
    """Never deviates."""

    def uniform(self, a: float, b: float) -> float:
        """The middle."""
        return (a + b) / 2


def node(url: str, ledger: Ledger, *, docker_timeout: float = 30.0, **settings: Any) -> Node:
    """A node whose agent has just begun."""
    wanted = {
        "node_name": "reconcile-node",
        "installation": f"it-{uuid.uuid4().hex[:8]}",
        "state_dir": "/nonexistent",
        "shared_subnets": "10.216.0.0/18",
        "instance_subnets": "10.217.0.0/16",
    }
    chosen = load(wanted | settings)
    cluster, monotonic, clock, woken = FakeCluster(), Monotonic(), SystemClock(), asyncio.Event()
    cluster.objects["/api/v1/namespaces/kube-system"] = {"metadata": {"uid": "cluster"}}
    engine = FaultyEngine(url, timeout=docker_timeout)

    def wake(_uid: str) -> bool:
        woken.set()
        return True

    services = Services(
        settings=chosen,
        cluster=cluster,
        cluster_uid="cluster",
        ledger=ledger,
        engine=engine,
        images=Images(engine, concurrent_pulls=1),
        bridges=SharedBridges(engine, chosen),
        own_networks=OwnNetworks(engine, chosen),
        gate=Gate(chosen.launches, wake, unanswered=lambda: engine.unanswered),
        readiness=Readiness(Probes(engine), wake),
        attempts=Attempts(Backoff(1.0, 300.0, NoJitter())),
        batch=FinalizeBatch(ledger, lambda: milliseconds(clock.now())),
        outages=Outages(ledger, lambda: milliseconds(clock.now())),
        recorder=Recorder(cluster, "test"),
        wake=wake,
        address=lambda: "192.0.2.1",
        clock=clock,
        monotonic=monotonic,
        engine_problem="",
    )
    engine.answered = services.answered
    return Node(services, cluster, engine, monotonic, woken)


def template(image: str, *names: str, **fields: Any) -> Object:
    """Containers that rest, each with a volume of the image's, and a port each."""
    return {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": name,
                "image": image,
                "args": ["sleep", "600"],
                "ports": [{"containerPort": 80}],
                "readinessProbe": {"exec": {"command": ["bash", "-c", ":"]}, "timeoutSeconds": 10},
            }
            for name in names
        ],
    } | fields
