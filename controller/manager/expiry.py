"""Deletes instances whose time is over. The agent sets the time; only the manager may delete."""

import asyncio
import heapq
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from controller.api.instance import ChallengeInstance
from controller.cluster.client import INSTANCES, Cluster
from controller.cluster.errors import ApiError, Conflict, NotFound
from controller.reconcile.expire import deadline

logger = logging.getLogger(__name__)

RETRY = timedelta(seconds=5)


@dataclass(order=True)
class _Deadline:
    at: datetime
    uid: str = field(compare=False)


def _now() -> datetime:
    return datetime.now(UTC)


class Expiry:
    """A timer to the next deadline; the latest word on each instance counts."""

    def __init__(
        self, cluster: Cluster, default_ttl: str = "0", now: Callable[[], datetime] = _now
    ) -> None:
        """``now`` is the clock that deadlines are held against.

        ``default_ttl`` is for instances whose change (a renewal) their agent has not seen yet.
        """
        self._default_ttl = default_ttl
        self._cluster = cluster
        self._now = now
        self._instances: dict[str, ChallengeInstance] = {}
        self._heap: list[_Deadline] = []
        self._earlier = asyncio.Event()

    def observe(self, instance: ChallengeInstance) -> None:
        """Take note of an instance's deadline, if it has one and is to be deleted then."""
        uid, end = instance.metadata.uid, instance.status.expiration_time
        if end is not None and instance.status.observed_generation != instance.metadata.generation:
            # Its agent, which may be away, has not said yet what a change of ttl comes to.
            end = deadline(instance, instance.status, self._now(), self._default_ttl)
            status = instance.status.model_copy(update={"expiration_time": end})
            instance = instance.model_copy(update={"status": status})
        if end is None or instance.is_deleting or instance.spec.on_expiry != "Delete":
            self._instances.pop(uid, None)
            return
        before = self._instances.get(uid)
        self._instances[uid] = instance
        if before is None or before.status.expiration_time != end:
            heapq.heappush(self._heap, _Deadline(end, uid))
        self._earlier.set()

    def forget(self, uid: str) -> None:
        """The instance is gone."""
        self._instances.pop(uid, None)

    async def run(self) -> None:
        """Delete at the deadlines, until cancelled."""
        while True:
            self._earlier.clear()
            wait = await self._due()
            try:
                async with asyncio.timeout(wait):
                    await self._earlier.wait()
            except TimeoutError:
                continue

    async def _due(self) -> float | None:
        """Delete what is due; the result is the time in seconds to the next deadline."""
        while self._heap:
            first = self._heap[0]
            instance = self._instances.get(first.uid)
            if instance is None or instance.status.expiration_time != first.at:
                heapq.heappop(self._heap)
                continue
            if first.at > self._now():
                return (first.at - self._now()).total_seconds()
            heapq.heappop(self._heap)
            await self._delete(instance)
        return None

    async def _delete(self, instance: ChallengeInstance) -> None:
        meta = instance.metadata
        try:
            await self._cluster.delete(
                INSTANCES, meta.name, meta.namespace, uid=meta.uid, version=meta.resource_version
            )
            logger.info("Deleted %s: its time was over", instance.key)
        except (NotFound, Conflict):
            # The watch brings what it is now, or has brought it meanwhile: then it is due as well.
            newer = self._instances.get(meta.uid)
            if newer is instance:
                del self._instances[meta.uid]
            elif newer is not None and newer.status.expiration_time is not None:
                heapq.heappush(self._heap, _Deadline(newer.status.expiration_time, meta.uid))
        except ApiError as error:
            logger.warning("Cannot delete %s, trying again: %s", instance.key, error)
            again = self._now() + RETRY
            heapq.heappush(self._heap, _Deadline(again, meta.uid))
            later = instance.status.model_copy(update={"expiration_time": again})
            self._instances[meta.uid] = instance.model_copy(update={"status": later})
