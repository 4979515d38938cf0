"""What a reconcile is handed: the doors to the outside, the node's own policy, the memory.

One object for each agent; steps reach clock, API server, ledger and engine only through it.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Concatenate, Final, ParamSpec, TypeVar

from controller.cluster.client import Cluster, Object
from controller.cluster.events import Recorder
from controller.ledger import Ledger, LedgerUnavailable
from controller.reconcile.attempts import Attempts
from controller.reconcile.batch import FinalizeBatch
from controller.reconcile.bridges import SharedBridges
from controller.reconcile.clock import Clock, SystemClock
from controller.reconcile.fence import Fence
from controller.reconcile.findings import Findings
from controller.reconcile.gate import Gate
from controller.reconcile.hold import META, Hold
from controller.reconcile.home import Home
from controller.reconcile.metrics import LaunchMetrics
from controller.reconcile.outages import Outages
from controller.reconcile.ownnetworks import OwnNetworks
from controller.reconcile.readiness import Readiness
from controller.reconcile.recent import Recent
from controller.reconcile.result import Waiting
from controller.reconcile.storagewatch import StorageWatch
from controller.reconcile.volumelimits import VolumeLimits
from controller.runtime import labels
from controller.runtime.engine import Engine, EngineInfo
from controller.runtime.errors import EngineUnavailable
from controller.runtime.folders import Folders
from controller.runtime.images import Images
from controller.runtime.seccomp import Profiles
from controller.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")


STARVED_AT_ONCE: Final = 8
"""How many of those who wait for a port are woken by an instance that gives its own back."""


@dataclass
class Services:
    """The collaborators of all reconciles of one node."""

    settings: Settings
    cluster: Cluster
    cluster_uid: str
    ledger: Ledger
    engine: Engine
    images: Images
    bridges: SharedBridges
    own_networks: OwnNetworks
    gate: Gate
    readiness: Readiness
    attempts: Attempts
    batch: FinalizeBatch
    outages: Outages
    recorder: Recorder
    wake: Callable[[str], bool]
    address: Callable[[], str]
    metrics: LaunchMetrics = field(default_factory=LaunchMetrics)
    clock: Clock = field(default_factory=SystemClock)
    monotonic: Callable[[], float] = time.monotonic
    engine_problem: str = "The engine has not been reached yet"
    """Why the engine may not be used now; empty when it may."""
    engine_info: EngineInfo | None = None
    """What the engine said of itself when it was last reached."""
    storage: StorageWatch = field(default_factory=StorageWatch)
    profiles: Profiles = field(default_factory=Profiles)
    unsafe: Waiting | None = None
    """Why nothing may be started though the engine answers: it would not be kept from others."""
    stopping: dict[str, float] = field(default_factory=dict)
    """When the time of containers that were asked to end is over, by uid; monotonic seconds."""
    seen: dict[str, str] = field(default_factory=dict)
    """The resourceVersion that each instance was last reconciled to."""
    turns: int = 0
    """How often the API server's store had gone back when all that was seen was last forgotten."""
    recent: Recent = field(default_factory=Recent)
    starved: dict[str, None] = field(default_factory=dict)
    """Uids that wait for a port or a subnet, in order; woken when an instance gives some back."""
    unanswered: dict[str, None] = field(default_factory=dict)
    """Uids that wait for the engine to answer a call on a container of theirs."""
    memory: dict[str, int] = field(default_factory=dict)
    """Bytes that each instance's containers may use, by uid, of those that hold ports here."""
    troubled: Callable[[], None] = lambda: None
    """Called when the ledger could not be used: the node will say so."""
    started: bool = True
    """Whether the ledger was compared with what runs since the agent has started."""
    findings: Findings = field(default_factory=Findings)
    """What the last comparison has found amiss."""
    node: Callable[[], Object | None] = lambda: None
    """The node's own object, for Events about it; None before it was read."""
    volume_limits: VolumeLimits = field(default_factory=VolumeLimits)
    strays: set[str] = field(default_factory=set)
    """Uids of which the engine has volumes, and no folder is here that would tell."""
    folders: Folders = field(init=False)
    fence: Fence = field(init=False)
    home: Home = field(init=False)
    hold: Hold = field(init=False)
    removals: Executor = field(default_factory=lambda: ThreadPoolExecutor(2, "removal"))
    """Threads that remove folders, which can take them minutes."""

    def __post_init__(self) -> None:
        """The instances' folders are in the agent's own; the fence is the gate's.

        The ledger is asked who is held. Raises LedgerUnavailable.
        """
        self.fence = Fence(self.gate)
        self.home = Home(self.cluster, self.cluster_uid)
        self.hold = Hold(self.settings.orphan_hold, self.clock, self.wake, self.monotonic)
        self.hold.load(self.ledger.get_meta(META), self.ledger.uids())
        self.metrics.collection.watch(self.hold, self.home)
        self.folders = Folders(self.settings.state_dir.absolute() / "instances")

    async def book(
        self,
        method: Callable[Concatenate[Ledger, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Call a method of the ledger off the event loop, since its file can be slow or locked."""
        try:
            return await asyncio.to_thread(method, self.ledger, *args, **kwargs)
        except LedgerUnavailable:
            self.troubled()
            raise

    def check_engine(self) -> None:
        """Raise EngineUnavailable while the engine may not be used."""
        if self.engine_problem:
            raise EngineUnavailable(self.engine_problem)

    def pending(self, uid: str) -> bool:
        """Whether the engine has not answered a call on what is the instance's alone."""
        network = self.own_networks.name_of(uid)
        return self.engine.pending_below(labels.name_prefix(uid)) or (
            network is not None and self.engine.pending(network)
        )

    def answered(self, name: str) -> None:
        """The engine has answered a call, on that name, that had outlived its slot."""
        self.gate.kick()
        for uid in list(self.unanswered):
            if name.startswith(labels.name_prefix(uid)) or name == self.own_networks.name_of(uid):
                del self.unanswered[uid]
                self.attempts.due(uid)
                self.wake(uid)

    def wake_starved(self, at_most: int = STARVED_AT_ONCE) -> None:
        """Wake the first of those who wait for a port or a subnet: some were given back."""
        for uid in list(self.starved)[:at_most]:
            self.attempts.due(uid)
            self.wake(uid)
