"""The instances that a ChallengePool creates and deletes, a few at a time.

Must not decide which. Every delete carries what was read as its precondition; a name that is taken
is looked into, and what bears it is adopted when it is the pool's.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from controller.cluster.client import INSTANCES, Cluster, Object
from controller.cluster.errors import ApiError, ApiUnavailable, Conflict, NotFound
from controller.manager import pool_instance
from controller.manager.pool_members import Member
from controller.manager.pool_store import Pool, PoolStore

S = TypeVar("S")
T = TypeVar("T")

logger = logging.getLogger(__name__)

PARALLEL: Final = 8
"""Creates or deletes at a time, over all pools."""


class PoolWrites:
    """Writes instances, and tells the store at once what came of it."""

    def __init__(self, cluster: Cluster, store: PoolStore) -> None:
        """``store`` is where the members are."""
        self._cluster, self._store = cluster, store
        self._foreign: set[tuple[str, str]] = set()

    def retry_names(self) -> None:
        """Forget which names somebody else has taken: they may be free by now."""
        self._foreign.clear()

    async def create(self, pool: Pool, revision: str, taken: set[str], seeds: list[str]) -> str:
        """Create an instance for each of these seeds under a free name.

        Returns the API server's words for the first refusal, empty when there is none; raises
        ApiUnavailable when there is no answer.
        """
        names = {seed: pool_instance.names(pool.object, seed, revision) for seed in set(seeds)}
        namespace, bodies = pool.object.metadata.namespace, []
        for seed in seeds:
            free = (
                name
                for name in names[seed]
                if name not in taken and (namespace, name) not in self._foreign
            )
            bodies.append(pool_instance.body(pool.object, seed, next(free)))
        answers = await _each(lambda body: self._make(pool, body), bodies)
        return next(filter(None, answers), "")

    async def delete(self, members: list[Member]) -> bool:
        """Delete instances as they were read; returns whether all are gone or going.

        Raises ApiError when one is refused.
        """
        return all(await _each(self._end, members))

    async def _make(self, pool: Pool, body: Object) -> str:
        name, namespace = body["metadata"]["name"], pool.object.metadata.namespace
        try:
            self._store.take(await self._cluster.create(INSTANCES, body, namespace))
        except Conflict:
            await self._adopt(pool, name)
        except ApiUnavailable:
            raise
        except ApiError as error:
            return str(error)
        return ""

    async def _adopt(self, pool: Pool, name: str) -> None:
        """Find out whose the name is that was to be given."""
        namespace = pool.object.metadata.namespace
        try:
            self._store.take(await self._cluster.get(INSTANCES, name, namespace))
        except NotFound:
            return  # gone by now: the next look takes the name
        if all(member.name != name for member in self._store.members.of(pool.key)):
            logger.info("Instance %s/%s is not of pool %s", namespace, name, pool.object.key)
            self._foreign.add((namespace, name))

    async def _end(self, member: Member) -> bool:
        try:
            await self._cluster.delete(
                INSTANCES, member.name, member.namespace, uid=member.uid, version=member.version
            )
        except Conflict:
            return False  # it has changed: the watch brings what it is now
        except NotFound:
            pass
        self._store.members.end(member)
        return True


async def _each(call: Callable[[S], Awaitable[T]], items: Iterable[S]) -> list[T]:
    """The results of a call for each item, ``PARALLEL`` at a time; raises the first error."""
    waiting, results = list(items), list[T]()
    for start in range(0, len(waiting), PARALLEL):
        batch = waiting[start : start + PARALLEL]
        for answer in await asyncio.gather(*map(call, batch), return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer
            results.append(answer)
    return results
