"""What a reconcile is handed, with a stand-in for the engine and the API server, and a real ledger.

The engine has what is in `contents`.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

from controller.api.instance import ContainerStatus
from controller.api.template import template_hash
from controller.cluster.client import INSTANCES, Object
from controller.cluster.events import Recorder
from controller.ledger import Ledger
from controller.reconcile.attempts import Attempts
from controller.reconcile.batch import FinalizeBatch
from controller.reconcile.bridges import SharedBridges
from controller.reconcile.clock import milliseconds
from controller.reconcile.gate import Gate
from controller.reconcile.outages import Outages
from controller.reconcile.ownnetworks import OwnNetworks
from controller.reconcile.queue import Backoff
from controller.reconcile.readiness import Readiness
from controller.reconcile.services import Services
from controller.reconcile.work import Work
from controller.runtime import labels
from controller.runtime.containers import ContainerState
from controller.runtime.engine import Engine
from controller.runtime.images import Images
from controller.runtime.probes import Probes
from controller.settings import Settings, load
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.reconcile.contents import UID as UID  # most tests take it from here
from tests.unit.reconcile.contents import Containers, route
from tests.unit.runtime.fake_engine import FakeEngine

NOON = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


class NoJitter(Random):
    """Never deviates."""

    def uniform(self, a: float, b: float) -> float:
        """The middle."""
        return (a + b) / 2


@dataclass
class SetClock:
    """A clock that a test sets."""

    at: datetime = NOON
    seconds: float = 1000.0

    def now(self) -> datetime:
        """The time that was set."""
        return self.at

    def monotonic(self) -> float:
        """The seconds that were set."""
        return self.seconds


@dataclass
class World:
    """Services and what is behind them."""

    services: Services
    cluster: FakeCluster
    engine: Containers
    clock: SetClock
    woken: list[str]
    unknown: set[str] = field(default_factory=set)

    @property
    def settings(self) -> Settings:
        """The agent's settings."""
        return self.services.settings

    def configure(self, **settings: Any) -> None:
        """Serve with these settings instead, which are checked as the agent's are."""
        base = {"node_name": "n1", "state_dir": "/nonexistent"}
        self.services.settings = load(base | settings)

    def work(self, spec: dict[str, Any] | None = None, **status: Any) -> Work:
        """One reconcile of an instance with this spec and status."""
        wanted = spec or {"template": template()}
        body: Object = {
            "metadata": {"name": "web", "namespace": "team", "uid": UID, "generation": 1},
            "spec": wanted,
            "status": {"nodeName": self.settings.node_name} | status,
        }
        if "template" in wanted:
            body["status"].setdefault("template", wanted["template"])
        read = self.cluster.put(INSTANCES, body)
        made = Work.of(self.services, read, self.services.ledger.get(UID))
        if made.status.template is not None:
            self.engine.template_hash = template_hash(made.status.template)
        return made

    def found(self, work: Work) -> list[ContainerState]:
        """The containers as a listing has them; noted in the work's status."""
        work.containers = [
            ContainerState(
                id=f"id-{name}",
                name=f"chal-{UID}-{name}",
                container=name,
                uid=UID,
                template_hash=self.engine.template_hash,
                state=state,
                image_id="sha256:1",
                labels={labels.RESTARTED: self.engine.restarted},
            )
            for name, state in self.engine.states.items()
        ]
        if not work.status.containers:
            work.status.containers = [
                ContainerStatus(name=name, image="img:1") for name in self.engine.states
            ]
        return work.containers


def template(*names: str, **fields: Any) -> dict[str, Any]:
    """A template with containers of these names and a port each."""
    return {
        "containers": [
            {"name": name, "image": "img:1", "ports": [{"containerPort": 80}]}
            for name in names or ("web",)
        ]
    } | fields


def world(ledger: Ledger, fake: FakeEngine, engine: Engine) -> World:
    """A node with an engine that answers and has nothing."""
    settings = load({"node_name": "n1", "state_dir": "/nonexistent"})
    cluster, clock, contents = FakeCluster(), SetClock(), Containers()
    woken: list[str] = []
    made: World
    fake.answer = route(contents)
    backoff = Backoff(1.0, 300.0, NoJitter())

    def wake(uid: str) -> bool:
        woken.append(uid)
        return uid not in made.unknown

    services = Services(
        settings=settings,
        cluster=cluster,
        cluster_uid="cluster",
        ledger=ledger,
        engine=engine,
        images=Images(engine, concurrent_pulls=1),
        bridges=SharedBridges(engine, settings),
        own_networks=OwnNetworks(engine, settings),
        gate=Gate(1, wake),
        readiness=Readiness(Probes(engine), wake),
        attempts=Attempts(backoff),
        batch=FinalizeBatch(ledger, lambda: 0),
        outages=Outages(ledger, lambda: milliseconds(clock.now())),
        recorder=Recorder(cluster, "test"),
        wake=wake,
        address=lambda: "192.0.2.1",
        clock=clock,
        monotonic=clock.monotonic,
        engine_problem="",
    )
    made = World(services, cluster, contents, clock, woken)
    return made
