"""A ChallengeNode with its keeper: its operator's hand on one side, what is shown on the other."""

from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry

from controller.agent import ownnode
from controller.agent.metrics import NodeMetrics
from controller.agent.node import NodeKeeper
from controller.api.conditions import Condition
from controller.api.node import ChallengeNode, NodeStatus
from controller.cluster.client import NODES
from controller.runtime.engine import EngineInfo
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.reconcile.world import World

MIB = 2**20
INFO = EngineInfo(
    id="ABCD",
    name="host",
    version="20.10.24",
    api_version="1.41",
    operating_system="",
    kernel="",
    architecture="",
    cpus=2,
    memory=4096 * MIB,
    storage_driver="",
    cgroup_version="1",
    cgroup_driver="",
    security_options=(),
    live_restore=False,
)


@dataclass
class Kept:
    """One node's keeper; `moved` and `healed` count what it has called."""

    world: World
    info: EngineInfo | None = INFO
    moved: int = 0
    healed: int = 0
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    keeper: NodeKeeper = field(init=False)

    def __post_init__(self) -> None:
        """The keeper, with nothing registered yet."""
        self.keeper = self._keeper(self.registry)

    def again(self) -> NodeKeeper:
        """A keeper that begins where the other one, which is gone, has left the ledger."""
        return self._keeper(CollectorRegistry())

    def _keeper(self, registry: CollectorRegistry) -> NodeKeeper:
        return ownnode.keeper(
            self.world.services,
            info=lambda: self.info,
            images=list,
            moved=self._count_moved,
            healed=self._count_healed,
            metrics=NodeMetrics(registry),
        )

    def _count_moved(self) -> None:
        self.moved += 1

    def _count_healed(self) -> None:
        self.healed += 1

    @property
    def cluster(self) -> FakeCluster:
        """The API server."""
        return self.world.cluster

    def spec(self, **fields: Any) -> dict[str, Any]:
        """The operator's change of the spec; the object as the watch brings it."""
        body = self.cluster.read(NODES, "n1")
        generation = body["metadata"]["generation"] + 1
        body["metadata"]["generation"] = generation
        return self.cluster.put(NODES, body | {"spec": fields})

    async def status(self) -> NodeStatus:
        """Have the status written if it is due; what it says."""
        await self.keeper._write()
        return self.shown().status

    def shown(self) -> ChallengeNode:
        """The object as it is."""
        return ChallengeNode.model_validate(self.cluster.read(NODES, "n1"))

    async def condition(self, kind: str) -> Condition:
        """A condition of the status, which is written if it is due."""
        (found,) = [c for c in (await self.status()).conditions if c.type == kind]
        return found


def hold(kept: Kept, uid: str, ports: int) -> dict[str, int]:
    """Have an instance hold so many ports."""
    names = [f"p{number}" for number in range(ports)]
    return kept.world.services.ledger.reserve(uid, names, namespace="team", name=uid, now=0)
