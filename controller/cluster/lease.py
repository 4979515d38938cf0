"""Leases: who acts (manager) and who lives (agent).

A holder is judged silent by how long this process has seen its record unchanged, on this
process' own clock, as client-go's leader election does it: hosts' clocks need not agree.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from controller.cluster.client import LEASES, Cluster, Object
from controller.cluster.errors import ApiError, ApiUnavailable, Conflict, NotFound

logger = logging.getLogger(__name__)


def micro_time(moment: datetime) -> str:
    """A time as Leases have it (MicroTime)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


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
        self._seen: tuple[Any, Any] = (None, None)
        self._seen_at = monotonic()

    async def take(self) -> str:
        """Take or renew the Lease; returns the holder's identity: ours, or who has it.

        Raises ApiError when the API server refuses or does not answer.
        """
        try:
            lease = await self._cluster.get(LEASES, self.name, self._namespace)
        except NotFound:
            return await self._create()
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder and holder != self._identity and not self._silent(spec):
            return str(holder)
        try:
            await self._cluster.replace(LEASES, lease | {"spec": self._spec(spec)})
        except Conflict:
            return str(holder or "another process")
        return self._identity

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
            except ApiUnavailable as error:
                holder, since = f"unknown: {error}", self._monotonic()
            if holder == self._identity:
                return
            if holder != told:
                logger.info("Waiting for the Lease %s, held by %s", self.name, holder)
                told = holder
            if patience is not None and self._monotonic() - since > patience:
                raise HeldElsewhere(self.name, holder)
            await asyncio.sleep(self.duration / 5)

    async def keep(self, *, lost_after: float | None) -> None:
        """Renew the Lease, which is ours, every quarter of its duration, until it is lost.

        Returns when another holds it, or, with ``lost_after``, when it could not be renewed for
        that many seconds.
        """
        renewed = self._monotonic()
        while True:
            await asyncio.sleep(self.duration / 4)
            try:
                async with asyncio.timeout(self.duration / 2):
                    holder = await self.take()
            except (ApiError, TimeoutError) as error:
                logger.warning("Cannot renew the Lease %s: %s", self.name, str(error) or "time-out")
                if lost_after is not None and self._monotonic() - renewed > lost_after:
                    return
                continue
            if holder != self._identity:
                return
            renewed = self._monotonic()

    def _silent(self, spec: Object) -> bool:
        record = (spec.get("holderIdentity"), spec.get("renewTime"))
        if record != self._seen:
            self._seen, self._seen_at = record, self._monotonic()
            return False
        return self._monotonic() - self._seen_at > float(spec.get("leaseDurationSeconds") or 0)

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

    async def _create(self) -> str:
        body = {"metadata": {"name": self.name}, "spec": self._spec({})}
        try:
            await self._cluster.create(LEASES, body, self._namespace)
        except Conflict:
            return "another process"
        return self._identity
