"""What a reconcile is handed: the doors to the outside, the node's own policy, the memory.

One object for each agent; steps reach clock, API server, ledger and engine only through it.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Concatenate, ParamSpec, TypeVar

from controller.cluster.client import Cluster
from controller.cluster.events import Recorder
from controller.ledger import Ledger
from controller.reconcile.attempts import Attempts
from controller.reconcile.batch import FinalizeBatch
from controller.reconcile.bridges import SharedBridges
from controller.reconcile.clock import Clock, SystemClock
from controller.reconcile.gate import Gate
from controller.reconcile.readiness import Readiness
from controller.runtime.engine import Engine
from controller.runtime.errors import EngineUnavailable
from controller.runtime.images import Images
from controller.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")


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
    gate: Gate
    readiness: Readiness
    attempts: Attempts
    batch: FinalizeBatch
    recorder: Recorder
    wake: Callable[[str], bool]
    address: Callable[[], str]
    clock: Clock = field(default_factory=SystemClock)
    monotonic: Callable[[], float] = time.monotonic
    engine_problem: str = "The engine has not been reached yet"
    """Why the engine may not be used now; empty when it may."""
    stopping: dict[str, float] = field(default_factory=dict)
    """When the time of containers that were asked to end is over, by uid; monotonic seconds."""
    seen: dict[str, str] = field(default_factory=dict)
    """The resourceVersion that each instance was last reconciled to."""
    starved: set[str] = field(default_factory=set)
    """Uids that wait for a port or a subnet; woken when one is free."""

    async def book(
        self,
        method: Callable[Concatenate[Ledger, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Call a method of the ledger off the event loop, since its file can be slow or locked."""
        return await asyncio.to_thread(method, self.ledger, *args, **kwargs)

    def check_engine(self) -> None:
        """Raise EngineUnavailable while the engine may not be used."""
        if self.engine_problem:
            raise EngineUnavailable(self.engine_problem)

    def wake_starved(self) -> None:
        """Wake who waits for a port or a subnet: some were given back."""
        starved, self.starved = self.starved, set()
        for uid in starved:
            self.wake(uid)
