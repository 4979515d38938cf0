"""Gives waiting instances their node: one write each, only over what was read.

Woken by any change that could help. It holds no state that a restart would miss: everything comes
again with the watch's first list.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import ValidationError

from controller.api import reasons
from controller.api.challenge import Challenge, TemplateSpec
from controller.api.instance import ChallengeInstance, InstanceStatus
from controller.api.template import resolve, resolve_policy
from controller.cluster import status as status_writer
from controller.cluster.client import INSTANCES, Cluster, Object
from controller.cluster.errors import ApiError, ApiUnavailable, Conflict, NotFound
from controller.cluster.events import Recorder
from controller.cluster.version import version_of
from controller.manager import verdict
from controller.manager.assignments import Assigned, Assignments, challenge_key
from controller.manager.challenges import Challenges
from controller.manager.inhand import InHand
from controller.manager.nodes import Nodes
from controller.manager.pending import Pending
from controller.manager.placement import Demand, Refusal, choose_for, demand_of, has_room
from controller.manager.quota import Quota, was_placed
from controller.manager.waiting import Wait, Waiting

logger = logging.getLogger(__name__)

PARALLEL: Final = 8
"""Assignments written at a time."""
AWAY: Final = 1.0
"""Seconds before the next try when the API server does not answer."""
BREATH: Final = 50
"""Instances looked at before others of this process have a turn."""
LOOKS_PER_SECOND: Final = 100_000
"""Instances looked at in vain at most: thousands may wait while each second brings news."""
TOO_MANY_REQUESTS: Final = 429


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
        *,
        challenges: Challenges | None = None,
        quota: Quota | None = None,
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
        self._challenges = challenges or Challenges(cluster)
        self._quota = quota or Quota()
        self._waiting = Waiting(lambda: asyncio.get_running_loop().time())
        self._hand = InHand()
        self._woken = asyncio.Event()
        self._epoch = 0
        self._refused: dict[Demand, Refusal] = {}
        self._busy: set[str] = set()
        self._away, self._looks = False, 0

    # -- what the watch brings -----------------------------------------------------------------

    def kick(self) -> None:
        """Something has changed that could help an instance that waits."""
        self._epoch += 1
        self._refused.clear()
        self._woken.set()

    def waits(self, instance: ChallengeInstance, body: Object) -> None:
        """An instance has no node, as far as the watch knows."""
        uid = instance.metadata.uid
        if self._hand.is_ahead(uid, version_of(body)):
            return
        freed = self._assignments.drop(uid)
        if was_placed(instance):
            self._quota.take(uid, instance.spec.user or "")
        else:
            freed |= self._quota.release(uid)
        self._pending.put(body, first=was_placed(instance))
        self._waiting.of(uid)
        self._freed(freed)
        self._woken.set()

    def has_node(self, instance: ChallengeInstance, node: str) -> None:
        """An instance has a node, as the watch has it."""
        uid, version = instance.metadata.uid, instance.metadata.resource_version
        if self._hand.is_ahead(uid, int(version) if version.isdecimal() else 0):
            return
        self._pending.drop(uid)
        self._forget(uid)
        self._quota.take(uid, instance.spec.user or "")
        self._freed(self._assignments.put(uid, self._assignments.observed(instance, node)))

    def gone(self, uid: str) -> None:
        """An instance is gone, or will be without ever having had a node."""
        self._pending.drop(uid)
        self._forget(uid)
        freed = self._quota.release(uid)
        self._freed(self._assignments.drop(uid) or freed)

    def known(self) -> set[str]:
        """The uids of all instances that it has heard of and that are not gone."""
        return self._assignments.by_uid.keys() | self._pending.uids()

    def _forget(self, uid: str) -> None:
        self._hand.settled(uid)
        self._waiting.forget(uid)

    def _freed(self, is_so: bool) -> None:
        if is_so and len(self._pending):
            self.kick()

    # -- rounds --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Place until cancelled."""
        await self._load_challenges()
        while True:
            await self._wait_for_work()
            self._woken.clear()
            self._away, self._looks = False, 0
            turns = self._pending.in_turn()
            await asyncio.gather(*(self._work(turns, teller=n == 0) for n in range(PARALLEL)))
            await asyncio.gather(*(self._tell_due() for _ in range(PARALLEL)))
            if self._away:
                await asyncio.sleep(AWAY)
                self.kick()
            elif self._looks > BREATH:
                await asyncio.sleep(self._looks / LOOKS_PER_SECOND)

    async def _load_challenges(self) -> None:
        while True:
            try:
                return await self._challenges.load()
            except ApiError as error:
                logger.warning("Cannot read the Challenges, trying again: %s", error)
                await asyncio.sleep(AWAY)

    async def _wait_for_work(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._waiting.next_due()):
                await self._woken.wait()

    async def _work(self, turns: Iterator[Object], *, teller: bool) -> None:
        """Try one after the other, together with others who take from the same ``turns``."""
        for body in turns:
            if teller:
                # Else nobody would be told anything while thousands are placed.
                await self._tell_due(most=1)
            if self._away:
                return
            if self._waiting.is_vain(body, self._epoch):
                await self._looked()
                continue
            reason = await self._tried(body)
            if reason:
                await self._looked()
            if reason == reasons.WAITING_FOR_NODE and not self._has_room():
                return  # thousands may wait; each of them would be looked at in vain

    async def _looked(self) -> None:
        self._looks += 1
        if self._looks % BREATH == 0:
            await asyncio.sleep(0)

    def _has_room(self) -> bool:
        return has_room(self._nodes, self._assignments)

    async def _tell_due(self, most: int | None = None) -> None:
        """Look again at those whose status may have to say something else."""
        for number, uid in enumerate(self._waiting.due()):
            body = self._pending.get(uid)
            if body is not None:
                await self._tried(body, tell=True)
            self._waiting.told(uid)
            if self._away or (most is not None and number + 1 >= most):
                return

    async def _tried(self, body: Object, *, tell: bool = False) -> str:
        """Place one, or tell why not; what is wrong with it alone does not hold up the others.

        The result is the reason why it still waits, as far as it is known.
        """
        uid = body["metadata"]["uid"]
        if uid in self._busy:
            return ""
        self._busy.add(uid)
        try:
            return await self._place(body, tell=tell)
        except ApiUnavailable as error:
            if not self._away:
                logger.warning("Placement waits for the API server: %s", error)
            self._away = True
        except (ApiError, ValidationError) as error:
            logger.warning("Cannot place %s: %s", body["metadata"]["name"], error)
            self._waiting.of(uid).outdated = body
        finally:
            self._busy.discard(uid)
        return ""

    # -- one instance --------------------------------------------------------------------------

    async def _place(self, body: Object, *, tell: bool) -> str:
        uid, epoch = body["metadata"]["uid"], self._epoch
        wait = self._waiting.of(uid)
        if not tell and (known := self._as_before(wait, body)):
            wait.epoch = epoch
            return known.reason
        instance = ChallengeInstance.model_validate(body)
        challenge, template = await self._template(instance)
        pool_uid = await self._pool_of(instance)
        if self._pending.get(uid) is not body:
            return ""  # it has changed meanwhile, and comes again
        wait.generation, wait.demand, wait.missing = self._challenges.generation, None, None
        if isinstance(template, Refusal):
            wait.epoch, wait.missing = epoch, template
            return await self._tell(body, instance, template)
        wait.demand = demand_of(instance, template, self._assignments.memory)
        chosen = self._choose(instance, wait.demand)
        if isinstance(chosen, Refusal):
            wait.epoch = epoch
            return await self._tell(body, instance, chosen) if tell else chosen.reason
        if tell:
            return ""  # its turn comes
        # Nothing is awaited between the choice and this: what is chosen next counts it already.
        assigned = Assigned(
            chosen, wait.demand.ports, False, challenge_key(instance), wait.demand.memory
        )
        self._assignments.put(uid, assigned)
        self._quota.take(uid, instance.spec.user or "")
        policy = instance.status.policy if was_placed(instance) else None
        policy = policy or resolve_policy(instance, challenge)
        status = verdict.placed(instance, chosen, template, policy, datetime.now(UTC))
        status.pool_uid = pool_uid
        if await self._assign(body, instance, status):
            self._recorder.event(body, "Normal", reasons.SCHEDULED, f"Assigned to node {chosen}")
        return ""

    def _as_before(self, wait: Wait, body: Object) -> Refusal | None:
        """Why it must wait on, as far as that is known without looking at it closely."""
        if wait.generation != self._challenges.generation:
            return None
        if wait.missing or wait.demand is None:
            return wait.missing
        if (body.get("status") or {}).get("template") is None:
            over = self._quota.refusal(body["spec"].get("user") or "")
            if over:
                return over
        return self._refused.get(wait.demand)

    def _choose(self, instance: ChallengeInstance, demand: Demand) -> str | Refusal:
        # One that moves is no new placement: it was counted before, and still is.
        if not was_placed(instance) and (over := self._quota.refusal(instance.spec.user or "")):
            return over
        # A write of ours whose outcome is unknown still counts, but not against itself.
        self._assignments.drop(instance.metadata.uid)
        known = self._refused.get(demand)
        chosen = known or choose_for(demand, self._nodes, self._assignments)
        if isinstance(chosen, Refusal):
            self._refused[demand] = chosen
        return chosen

    async def _template(
        self, instance: ChallengeInstance
    ) -> tuple[Challenge | None, TemplateSpec | Refusal]:
        """What is to be launched: what it had on another node, or as it stands now."""
        if instance.status.template is not None:
            return None, instance.status.template
        ref, namespace = instance.spec.challenge_ref, instance.metadata.namespace
        challenge = await self._challenges.find(namespace, ref.name) if ref else None
        if ref and challenge is None:
            return None, Refusal(
                reasons.CHALLENGE_NOT_FOUND,
                f"challengeRef: there is no Challenge {ref.name!r} in namespace {namespace!r}; "
                "it goes on when there is",
            )
        return challenge, resolve(instance, challenge)

    async def _assign(
        self, body: Object, instance: ChallengeInstance, status: InstanceStatus
    ) -> bool:
        """Write a placement; what is counted for it is given back only if it surely failed."""
        uid = instance.metadata.uid
        self._hand.begin(uid, version_of(body))
        try:
            written = await self._write(body, status)
        except ApiUnavailable as error:
            if error.status == TOO_MANY_REQUESTS:
                self._give_back(uid, instance)
            else:
                self._hand.unanswered(uid)
            raise
        if written is None:
            self._waiting.of(uid).outdated = body
            self._give_back(uid, instance)
            return False
        if uid in self._pending:
            self._hand.landed(uid, version_of(written))
            self._pending.served(uid)
        self._waiting.forget(uid)
        return True

    def _give_back(self, uid: str, instance: ChallengeInstance) -> None:
        """Count it no more: the API server has refused it."""
        if not self._hand.refused(uid) or uid not in self._pending:
            return  # the watch brings what it is, or has
        freed = self._assignments.drop(uid)
        if not was_placed(instance):
            freed |= self._quota.release(uid)
        self._freed(freed)

    async def _tell(self, body: Object, instance: ChallengeInstance, refusal: Refusal) -> str:
        """Say in its status why the instance waits."""
        before = verdict.told(instance)
        if before != refusal:
            status = verdict.waiting(instance, refusal, datetime.now(UTC))
            written = await self._write(body, status)
            is_new = before is None or before.reason != refusal.reason
            if written is not None and is_new and refusal.reason not in reasons.PROGRESS:
                self._recorder.event(body, "Warning", refusal.reason, refusal.message)
        return refusal.reason

    async def _write(self, body: Object, status: InstanceStatus) -> Object | None:
        """Write the status over what was read; None when the object has changed since.

        Raises ApiUnavailable when it is not known whether it was written.
        """
        try:
            written = await status_writer.write(self._cluster, INSTANCES, body, status.manifest())
        except (Conflict, NotFound):
            return None  # the watch brings what it is now
        except ApiUnavailable:
            raise
        except ApiError as error:
            logger.warning("Cannot write the status of %s: %s", body["metadata"]["name"], error)
            return None
        self._pending.renew(body, plain(written))
        return written


def plain(body: Any) -> Object:
    """A watch event's body as a dictionary, without who set which field: half of its size.

    What is nested is shared with the event, which nobody changes.
    """
    meta = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    return {**body, "metadata": meta}
