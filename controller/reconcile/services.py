"""What a reconcile is handed: the doors to the outside, the node's own policy, the memory.

One object for each agent; steps reach clock, API server, ledger and engine only through it.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Concatenate, Final, ParamSpec, TypeVar

from controller.cluster.client import Cluster
from controller.cluster.events import Recorder
from controller.ledger import Ledger
from controller.reconcile.attempts import Attempts
from controller.reconcile.batch import FinalizeBatch
from controller.reconcile.bridges import SharedBridges
from controller.reconcile.clock import Clock, SystemClock
from controller.reconcile.gate import Gate
from controller.reconcile.readiness import Readiness
from controller.reconcile.result import Waiting
from controller.runtime.engine import Engine
from controller.runtime.errors import EngineUnavailable
from controller.runtime.images import Images
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
    unsafe: Waiting | None = None
    """Why nothing may be started though the engine answers: it would not be kept from others."""
    stopping: dict[str, float] = field(default_factory=dict)
    """When the time of containers that were asked to end is over, by uid; monotonic seconds."""
    seen: dict[str, str] = field(default_factory=dict)
    """The resourceVersion that each instance was last reconciled to."""
    starved: dict[str, None] = field(default_factory=dict)
    """Uids that wait for a port or a subnet, in order; woken when an instance gives some back."""

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
        """Wake the first of those who wait for a port or a subnet: some were given back."""
        for uid in list(self.starved)[:STARVED_AT_ONCE]:
            self.attempts.due(uid)
            self.wake(uid)
