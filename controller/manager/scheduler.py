"""Gives waiting instances their node: one write each, only over what was read.

Woken by any change that could help. It holds no state that a restart would miss: everything comes
again with the watch's first list.
"""

import asyncio
import copy
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import ValidationError

from controller.api import conditions, reasons
from controller.api.challenge import Challenge
from controller.api.instance import ChallengeInstance, InstanceStatus
from controller.api.template import published_ports, resolve, resolve_policy
from controller.cluster import status as status_writer
from controller.cluster.client import CHALLENGES, INSTANCES, Cluster, Object
from controller.cluster.errors import ApiError, ApiUnavailable, Conflict, NotFound
from controller.cluster.events import Recorder
from controller.manager.nodes import Nodes
from controller.manager.pending import Pending
from controller.manager.placement import Assigned, Assignments, Refusal, choose, has_room

logger = logging.getLogger(__name__)

PARALLEL: Final = 8
"""Assignments written at a time."""
PATIENCE: Final = 1.0
"""Seconds that an instance waits before its status says why: most need not be told."""
RETELL: Final = 15.0
"""Seconds after which a status that gives a reason is brought up to date with its numbers."""


PoolOf = Callable[[ChallengeInstance], Awaitable[str | None]]


async def _no_pool(_instance: ChallengeInstance) -> None:
    """Without ChallengePools no instance belongs to one."""


class Scheduler:
    """Places what is in ``pending`` on ``nodes``."""

    def __init__(
        self,
        cluster: Cluster,
        recorder: Recorder,
        nodes: Nodes,
        pending: Pending,
        assignments: Assignments,
        pool_of: PoolOf = _no_pool,
    ) -> None:
        """The collections are shared with who fills them from the watch.

        ``pool_of`` tells the uid of the ChallengePool that an instance really belongs to.
        """
        self._pool_of = pool_of
        self._cluster = cluster
        self._recorder = recorder
        self._nodes = nodes
        self._pending = pending
        self._assignments = assignments
        self._kicked = asyncio.Event()
        self._since: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def kick(self) -> None:
        """Something has changed that could help an instance that waits."""
        self._kicked.set()

    def forget(self, uid: str) -> None:
        """The instance is placed, or gone."""
        self._since.pop(uid, None)
        self._told.pop(uid, None)

    async def run(self) -> None:
        """Place until cancelled."""
        while True:
            await self._kicked.wait()
            self._kicked.clear()
            try:
                later = await self._round()
            except ApiUnavailable as error:
                logger.warning("Placement waits for the API server: %s", error)
                later = 1.0
            if later is not None:
                asyncio.get_running_loop().call_later(later, self.kick)

    async def _round(self) -> float | None:
        """Try everybody once; the result is the time in seconds after which to try again."""
        now, waiting = asyncio.get_running_loop().time(), list(self._pending.in_turn())
        for uid in self._since.keys() - self._pending.uids():
            del self._since[uid]
        later: list[float] = []
        for start in range(0, len(waiting), PARALLEL):
            batch = waiting[start : start + PARALLEL]
            if not has_room(self._nodes, self._assignments):
                # Thousands may wait: those who were told why are not looked at in vain.
                fresh = [body for body in batch if not self._knows(body, now)]
                later += [RETELL] * (len(fresh) < len(batch))
                batch = fresh
            outcomes = await asyncio.gather(*(self._tried(body) for body in batch))
            later += [after for after in outcomes if after is not None]
        return min(later, default=None)

    def _knows(self, body: Object, now: float) -> bool:
        told = self._told.get(body["metadata"]["uid"])
        return told is not None and now - told < RETELL

    async def _tried(self, body: Object) -> float | None:
        """Place one; what is wrong with it alone does not hold up the others."""
        try:
            return await self._place(body)
        except ApiUnavailable:
            raise
        except (ApiError, ValidationError) as error:
            logger.warning("Cannot place %s: %s", body["metadata"]["name"], error)
            return RETELL

    async def _place(self, body: Object) -> float | None:
        uid = body["metadata"]["uid"]
        instance = ChallengeInstance.model_validate(body)
        try:
            challenge = await self._challenge(instance)
            template = resolve(instance, challenge)
        except LookupError as missing:
            return await self._wait(
                body, instance, Refusal(reasons.CHALLENGE_NOT_FOUND, str(missing))
            )
        pool_uid = await self._pool_of(instance)
        chosen = choose(instance, template, self._nodes, self._assignments)
        if isinstance(chosen, Refusal):
            return await self._wait(body, instance, chosen)
        assigned = Assigned(
            chosen, len(published_ports(template)), launched=False, challenge=_key(challenge)
        )
        self._assignments.put(uid, assigned)
        status = instance.status.model_copy(deep=True)
        status.node_name = chosen
        status.template = template
        status.policy = resolve_policy(instance, challenge)
        status.pool_uid = pool_uid
        self._say(status, instance, conditions.SCHEDULED, True, reasons.SCHEDULED, "")
        message = f"Its node {chosen} has not begun with it"
        self._summary(status, instance, Refusal(reasons.WAITING_FOR_NODE, message))
        written = False
        try:
            written = await self._write(body, status)
        finally:
            if not written and uid in self._pending:
                self._assignments.drop(uid)
        if not written:
            return None
        self._pending.served(uid)
        self.forget(uid)
        self._recorder.event(body, "Normal", reasons.SCHEDULED, f"Assigned to node {chosen}")
        return None

    async def _challenge(self, instance: ChallengeInstance) -> Challenge | None:
        """The Challenge that the instance refers to; raises LookupError when there is none."""
        ref, namespace = instance.spec.challenge_ref, instance.metadata.namespace
        if ref is None:
            return None
        try:
            found = await self._cluster.get(CHALLENGES, ref.name, namespace)
        except NotFound:
            raise LookupError(
                f"challengeRef: there is no Challenge {ref.name!r} in namespace {namespace!r}; "
                "it goes on when there is"
            ) from None
        return Challenge.model_validate(found)

    async def _wait(
        self, body: Object, instance: ChallengeInstance, refusal: Refusal
    ) -> float | None:
        """Say why the instance waits, unless it began to only just now."""
        uid, now = instance.metadata.uid, asyncio.get_running_loop().time()
        waited = now - self._since.setdefault(uid, now)
        if refusal.reason != reasons.CHALLENGE_NOT_FOUND and waited < PATIENCE:
            return PATIENCE - waited
        said = conditions.get(instance.status.conditions, conditions.SCHEDULED)
        known = said is not None and said.reason == refusal.reason and said.status == "False"
        told = self._told.get(uid)
        if known and told is not None and now - told < RETELL:
            return RETELL - (now - told)
        self._told[uid] = now
        if known and said is not None and said.message == refusal.message:
            return None
        status = instance.status.model_copy(deep=True)
        self._say(status, instance, conditions.SCHEDULED, False, refusal.reason, refusal.message)
        self._summary(status, instance, refusal)
        if await self._write(body, status) and not known:
            self._tell(body, refusal)
        return None

    def _tell(self, body: Object, refusal: Refusal) -> None:
        if refusal.reason not in reasons.PROGRESS:
            self._recorder.event(body, "Warning", refusal.reason, refusal.message)

    async def _write(self, body: Object, status: InstanceStatus) -> bool:
        """Write the status over what was read; False when the object has changed since."""
        if status.observed_generation != body["metadata"].get("generation", -1):
            status.expiration_time = None  # of a moved one that was renewed since: the agent's part
        status.observed_generation = body["metadata"].get("generation", -1)
        try:
            written = await status_writer.write(self._cluster, INSTANCES, body, status.manifest())
        except (Conflict, NotFound):
            return False  # the watch brings what it is now
        except ApiUnavailable:
            raise
        except ApiError as error:
            logger.warning("Cannot write the status of %s: %s", body["metadata"]["name"], error)
            return False
        self._pending.renew(body, written)
        return True

    def _summary(
        self, status: InstanceStatus, instance: ChallengeInstance, refusal: Refusal
    ) -> None:
        for kind, value in ((conditions.READY, False), (conditions.RECONCILING, True)):
            self._say(status, instance, kind, value, refusal.reason, refusal.message)

    def _say(
        self,
        status: InstanceStatus,
        instance: ChallengeInstance,
        kind: str,
        value: bool,
        reason: str,
        message: str,
    ) -> None:
        conditions.set_condition(
            status.conditions,
            kind,
            "True" if value else "False",
            reason,
            message,
            now=datetime.now(UTC),
            observed_generation=instance.metadata.generation,
        )


def _key(challenge: Challenge | None) -> str:
    return challenge.key if challenge else ""


def plain(body: Any) -> Object:
    """A watch event's body as a dictionary of our own."""
    return copy.deepcopy(dict(body))
