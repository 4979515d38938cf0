"""Leases: who acts (manager) and who lives (agent).

A holder is judged silent by how long this process has seen its record unchanged, on this
process' own clock, as client-go's leader election does it: hosts' clocks need not agree.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from controller.cluster.client import LEASES, Cluster, Object
from controller.cluster.errors import ApiError, ApiUnavailable, Conflict, NotFound

logger = logging.getLogger(__name__)

RETRY: Final = 2.0
"""Seconds to the next try of a renewal that failed: the end of an outage is noticed soon."""
OVERTAKEN: Final = 0.05
"""Seconds to the next try after somebody else was faster; doubles with each."""
UNKNOWN: Final = "unknown"
"""Who holds a Lease that cannot be read."""
INSTANT: Final = 0.001
"""Seconds that are not worth waiting for."""


def micro_time(moment: datetime) -> str:
    """A time as Leases have it (MicroTime)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_micro_time(text: str) -> datetime | None:
    """The time that a Lease's MicroTime says; None when it says none."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


class HeldElsewhere(Exception):
    """Another live process holds a Lease; the text names it."""

    def __init__(self, name: str, holder: str) -> None:
        """``holder`` is the identity in the Lease."""
        super().__init__(
            f"The Lease {name} is held by {holder}, which is alive: stop that one first, "
            "or give this one a name of its own"
        )


class Lease:
    """One Lease object, as one would-be holder sees it."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        name: str,
        identity: str,
        duration: int,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``duration`` is in seconds: silent for longer, a holder has lost it."""
        self.name = name
        self.duration = duration
        self._cluster = cluster
        self._namespace = namespace
        self._identity = identity
        self._monotonic = monotonic
        self._seen: tuple[Any, Any, Any] = (None, None, None)
        self._seen_at = monotonic()
        self._renewed_at = monotonic()
        self._renewal = asyncio.Event()
        self.holder = ""
        """Who held it when it was last read or written; empty before that."""

    @property
    def silence(self) -> float:
        """Seconds since the Lease was last renewed by us."""
        return self._monotonic() - self._renewed_at

    async def lapsed(self) -> None:
        """Wait until it was not renewed for its duration: then we may count as lost."""
        while True:
            left = self.duration - self.silence
            if left <= 0:
                return
            await asyncio.sleep(left + INSTANT)

    async def renewed(self) -> None:
        """Wait for the next renewal."""
        self._renewal.clear()
        await self._renewal.wait()

    async def take(self) -> str:
        """Take or renew the Lease; returns the holder's identity: ours, or who has it.

        Raises ApiError when the API server refuses, TimeoutError when it does not answer within
        half of the duration.
        """
        async with asyncio.timeout(self.duration / 2):
            return await self._take()

    async def _take(self) -> str:
        pause = OVERTAKEN
        while True:
            asked = self._monotonic()
            lease = await self._read()
            spec = (lease or {}).get("spec") or {}
            holder = spec.get("holderIdentity") or ""
            if holder and holder != self._identity and not self._silent(spec):
                self.holder = str(holder)
                return self.holder
            if await self._write(lease, self._spec(spec)):
                self.holder = self._identity
                self._renewed_at = asked  # others count from its arrival, which was later
                self._renewal.set()
                return self._identity
            await asyncio.sleep(pause)
            pause = min(RETRY, 2 * pause)

    async def _read(self) -> Object | None:
        try:
            return await self._cluster.get(LEASES, self.name, self._namespace)
        except NotFound:
            return None

    async def _write(self, lease: Object | None, spec: Object) -> bool:
        """Write over what was read; False when it has changed since, so that it is read again."""
        try:
            if lease is None:
                body = {"metadata": {"name": self.name}, "spec": spec}
                await self._cluster.create(LEASES, body, self._namespace)
            else:
                await self._cluster.replace(LEASES, lease | {"spec": spec})
        except Conflict:
            return False
        except NotFound:
            if lease is None:
                raise  # it is the namespace that there is none of
            return False
        return True

    async def release(self) -> None:
        """Give the Lease up, if it is ours, so that the next one need not wait."""
        lease = await self._cluster.get(LEASES, self.name, self._namespace)
        if (lease.get("spec") or {}).get("holderIdentity") == self._identity:
            await self._cluster.replace(
                LEASES, lease | {"spec": lease["spec"] | {"holderIdentity": ""}}
            )

    async def wait(self, *, patience: float | None = None) -> None:
        """Return as soon as the Lease is ours; an unreachable API server is waited for.

        With ``patience``, in seconds: raises HeldElsewhere when another one has held it that long.
        """
        told, since = "", self._monotonic()
        while True:
            try:
                holder = await self.take()
            except (ApiUnavailable, TimeoutError) as error:
                holder, since = UNKNOWN, self._monotonic()
                said = str(error) or "time-out"
                logger.warning("Cannot take the Lease %s: %s", self.name, said)
            if holder == self._identity:
                return
            if holder not in (told, UNKNOWN):
                logger.info("Waiting for the Lease %s, held by %s", self.name, holder)
                told = holder
            if patience is not None and self._monotonic() - since > patience:
                raise HeldElsewhere(self.name, holder)
            await asyncio.sleep(self._next_try())

    async def keep(self, *, lost_after: float | None) -> None:
        """Renew the Lease, which is ours, every quarter of its duration, until it is lost.

        Returns when another holds it, or, with ``lost_after``, when it could not be renewed for
        that many seconds.
        """
        pause = self.duration / 4
        while True:
            await asyncio.sleep(min(pause, self._left(lost_after)))
            try:
                async with asyncio.timeout(self._left(lost_after)):
                    holder = await self.take()
            except (ApiError, TimeoutError) as error:
                logger.warning("Cannot renew the Lease %s: %s", self.name, str(error) or "time-out")
                if self._left(lost_after) <= 0:
                    return
                pause = min(RETRY, self.duration / 4)
                continue
            pause = self.duration / 4
            if holder != self._identity:
                return

    def _next_try(self) -> float:
        """Seconds until another holder's record, if it does not change, may be taken over.

        A tenth of the duration at most: what is seen of a renewal is never older than that.
        """
        _holder, _renewed, duration = self._seen
        over = self._seen_at + float(duration or 0) - self._monotonic()
        often = self.duration / 10
        return min(often, over + 2 * INSTANT) if over > -INSTANT else often

    def _left(self, lost_after: float | None) -> float:
        """Seconds until the Lease counts as lost; more than any wait without a limit."""
        if lost_after is None:
            return float(self.duration)
        left = self._renewed_at + lost_after - self._monotonic()
        return left if left > INSTANT else 0.0

    def _silent(self, spec: Object) -> bool:
        duration = spec.get("leaseDurationSeconds")
        record = (spec.get("holderIdentity"), spec.get("renewTime"), duration)
        if record != self._seen:
            self._seen, self._seen_at = record, self._monotonic()
            return False
        return self._monotonic() - self._seen_at > float(duration or 0)

    def _spec(self, before: Object) -> Object:
        now = micro_time(datetime.now(UTC))
        ours = before.get("holderIdentity") == self._identity
        transitions = int(before.get("leaseTransitions") or 0)
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self.duration,
            "acquireTime": before.get("acquireTime") if ours else now,
            "renewTime": now,
            "leaseTransitions": transitions if ours else transitions + 1,
        }
