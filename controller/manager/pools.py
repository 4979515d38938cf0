"""ChallengePools: keeps for each seed the instances that its pool asks for.

Level-triggered: a look compares the pool with its instances (``pool_plan``), deletes, then creates
(``pool_writes``), then says what there is (``pool_status``). What a pool that is gone has left is
deleted here as well as by Kubernetes' garbage collector, which a development control plane does not
have. Must not place, start or stop anything.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from controller.api import conditions, reasons
from controller.api.pool import ChallengePool, PoolStatus
from controller.cluster import status as status_writer
from controller.cluster.client import POOLS, Cluster, Object
from controller.cluster.errors import ApiError, Conflict, NotFound
from controller.cluster.events import Recorder
from controller.cluster.tasks import until_done
from controller.manager import pool_instance, pool_plan
from controller.manager.nodes import Nodes
from controller.manager.pool_plan import Cordons, Survey
from controller.manager.pool_status import Trouble, status
from controller.manager.pool_store import Pool, PoolStore
from controller.manager.pool_writes import PoolWrites

logger = logging.getLogger(__name__)

BURST: Final = 64
"""Creates or deletes of one pool before the next pool has its turn."""
PAUSE: Final = 0.2
"""Seconds between two looks at one pool: what comes in meanwhile is one change."""
COUNTS: Final = 2.0
"""Seconds between two writes of a status in which nothing but counts and messages has changed."""
RETRY: Final = 5.0
"""Seconds until a pool is looked at again whose look ended early."""
BACKOFF: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Seconds until creation is tried again after so many refusals in a row."""


class Pools:
    """All ChallengePools."""

    def __init__(
        self,
        cluster: Cluster,
        recorder: Recorder,
        nodes: Nodes,
        namespaces: tuple[str, ...] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``namespaces`` are those served; empty: all. ``monotonic`` must be the loop's clock."""
        self._cluster, self._recorder, self._nodes = cluster, recorder, nodes
        self._monotonic = monotonic
        self._cordons = Cordons()
        self._due: dict[str, float] = {}
        self._looked: dict[str, float] = {}
        self._woken = asyncio.Event()
        self.store = PoolStore(cluster, namespaces, self._wake)
        self._writes = PoolWrites(cluster, self.store)

    def observe(self, body: Object, deleted: bool) -> None:
        """Take a ChallengePool as the watch has it."""
        self.store.observe(body, deleted=deleted)

    def nodes_changed(self) -> None:
        """A node has come, gone, or been changed."""
        spec = {name: node.object.spec for name, node in self._nodes.by_name.items()}
        cordoned = frozenset(name for name in spec if spec[name].unschedulable)
        cordons = Cordons(cordoned, frozenset(name for name in cordoned if spec[name].drain))
        if cordons != self._cordons:
            self._cordons = cordons
            for key in self.store.pools:
                self._wake(key)

    async def resync(self) -> None:
        """Make good what the watch loses; raises ApiError."""
        await self.store.load()
        self._writes.retry_names()

    async def run(self) -> None:
        """Serve the pools until cancelled; nothing is done before all that there is was read."""
        await until_done("Cannot read the pools", self._begin)
        while True:
            self._woken.clear()
            now = self._monotonic()
            for key in [key for key in self._due if self._next(key) <= now]:
                del self._due[key]
                await self._look(key)
            wait = min(map(self._next, self._due), default=None)
            try:
                async with asyncio.timeout(None if wait is None else wait - self._monotonic()):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def _begin(self) -> None:
        await self.store.load()
        await self.store.load_instances()

    def _wake(self, key: str, after: float = 0.0) -> None:
        """Have a pool looked at, ``after`` so many seconds."""
        at = self._monotonic() + after
        if at < self._due.get(key, float("inf")):
            self._due[key] = at
            self._woken.set()

    def _next(self, key: str) -> float:
        return max(self._due[key], self._looked.get(key, float("-inf")) + PAUSE)

    async def _look(self, key: str) -> None:
        """Bring one pool further; what goes wrong with it does not hold up the others."""
        pool = self.store.pools.get(key)
        try:
            if pool is None:
                await self._collect(key)
            elif not pool.object.is_deleting:
                # Of one that is, somebody else says what becomes of its instances.
                await self._serve(pool)
        except ApiError as error:
            logger.warning("Cannot serve pool %s: %s", pool.object.key if pool else key, error)
            self._wake(key, RETRY)
        if key in self.store.pools:
            self._looked[key] = self._monotonic()
        else:
            self._looked.pop(key, None)

    async def _serve(self, pool: Pool) -> None:
        seen, template = self._survey(pool), self.store.template(pool)
        creatable = template is not None and pool.retry_at <= self._monotonic()
        todo = pool_plan.plan(pool.object, seen, self._cordons, creatable=creatable)
        if not await self._writes.delete(todo.delete[:BURST]):
            self._wake(pool.key, RETRY)
        elif len(todo.delete) <= BURST and template and creatable:
            await self._create(pool, template, seen.names, todo.create[:BURST])
        if max(len(todo.delete), len(todo.create)) > BURST:
            self._wake(pool.key)
        if (wait := pool.retry_at - self._monotonic()) > 0:
            self._wake(pool.key, wait)
        await self._tell(pool, pool.refusal if template else _missing(pool))

    async def _create(self, pool: Pool, template: str, taken: set[str], seeds: list[str]) -> None:
        revision = pool_instance.revision(pool.object, template)
        refused = await self._writes.create(pool, revision, taken, seeds)
        if not refused:
            pool.refused, pool.refusal = 0, None
            return
        message = f"The API server refuses an instance of the pool: {refused}"
        pool.refusal = Trouble(reasons.FAILED_CREATE, message)
        wait = BACKOFF[min(pool.refused, len(BACKOFF) - 1)]
        pool.refused += 1
        pool.retry_at = self._monotonic() + wait

    async def _collect(self, key: str) -> None:
        """Delete the instances of a pool that does not exist, as the garbage collector would."""
        left = [member for member in self.store.members.of(key) if not member.deleting]
        if not left:
            return
        await self.store.read(left[0].pool_name, left[0].namespace)
        if key in self.store.pools:
            return
        done = await self._writes.delete(left[:BURST])
        logger.info("Deleted instances of pool %s, which does not exist", left[0].pool_name)
        if not done or len(left) > BURST:
            self._wake(key, 0.0 if done else RETRY)

    def _survey(self, pool: Pool) -> Survey:
        members, template = self.store.members.of(pool.key), self.store.template(pool)
        return pool_plan.survey(pool.object, template, members, self._cordons)

    async def _tell(self, pool: Pool, trouble: Trouble | None) -> None:
        """Write the status: at once what has a new reason, else when it is time for counts."""
        now, before = self._monotonic(), pool.object.status
        drafted = status(pool.object, self._survey(pool), trouble, datetime.now(UTC))
        if drafted == before:
            return
        if _gist(drafted) == _gist(before) and now - pool.told_at < COUNTS:
            self._wake(pool.key, pool.told_at + COUNTS - now)
            return
        try:
            written = await status_writer.write(self._cluster, POOLS, pool.body, drafted.manifest())
        except (Conflict, NotFound):
            return  # the watch brings what it is now
        if trouble and trouble.reason != _reason(before):
            self._recorder.event(written, "Warning", trouble.reason, trouble.message)
        pool.told_at, pool.body = now, written
        pool.object = ChallengePool.model_validate(written)


def _missing(pool: Pool) -> Trouble:
    name, namespace = pool.object.spec.challenge_ref.name, pool.object.metadata.namespace
    message = (
        f"challengeRef: there is no Challenge {name!r} in namespace {namespace!r}; it goes on when "
        "there is"
    )
    # As with an instance: who applies both does not say which one arrives first.
    return Trouble(reasons.CHALLENGE_NOT_FOUND, message, stalled=False)


def _reason(found: PoolStatus) -> str:
    ready = conditions.get(found.conditions, conditions.READY)
    return ready.reason if ready else ""


def _gist(found: PoolStatus) -> tuple[object, ...]:
    """What somebody may wait for: a change of it is told at once."""
    kinds = [(c.type, c.status, c.reason, c.observed_generation) for c in found.conditions]
    return found.observed_generation, found.selector, kinds
