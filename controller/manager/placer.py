"""Tries one instance: gives it a node, or finds out and says why not.

One write, only over what was read. Whose turn it is, is not known here.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from controller.api import reasons
from controller.api.challenge import Challenge, TemplateSpec
from controller.api.instance import ChallengeInstance, InstanceStatus
from controller.api.template import resolve, resolve_policy
from controller.cluster import status as status_writer
from controller.cluster.client import INSTANCES, Cluster, Object
from controller.cluster.errors import (
    ApiError,
    ApiUnavailable,
    Conflict,
    NotFound,
    Unauthorized,
)
from controller.cluster.events import Recorder
from controller.manager import size, verdict
from controller.manager.accounts import Accounts
from controller.manager.assignments import Assigned, challenge_key
from controller.manager.challenges import Challenges
from controller.manager.nodes import Nodes
from controller.manager.placement import Demand, Refusal, choose_for, demand_of
from controller.manager.quota import was_placed
from controller.manager.waiting import Wait, Waiting

logger = logging.getLogger(__name__)

TOO_MANY_REQUESTS: Final = 429


@dataclass(frozen=True, slots=True)
class _Choice:
    node: str
    template: TemplateSpec
    demand: Demand


PoolOf = Callable[[ChallengeInstance], Awaitable[str | None]]
"""Tells the uid of the ChallengePool that an instance really belongs to."""


async def no_pool(_instance: ChallengeInstance) -> None:
    """Without ChallengePools no instance belongs to one."""


class Placer:
    """Places instances one by one, several at a time."""

    def __init__(
        self,
        cluster: Cluster,
        recorder: Recorder,
        nodes: Nodes,
        accounts: Accounts,
        challenges: Challenges,
        waiting: Waiting,
        pool_of: PoolOf = no_pool,
    ) -> None:
        """The collections are shared with who fills them from the watch."""
        self._pool_of = pool_of
        self._cluster, self._recorder = cluster, recorder
        self._nodes, self._accounts = nodes, accounts
        self._challenges, self._waiting = challenges, waiting
        self._refused: dict[Demand, Refusal] = {}
        self.epoch = 0
        """Grows with each change that could help somebody."""

    def changed(self) -> None:
        """Something has changed that could help: what was refused may fit now."""
        self.epoch += 1
        self._refused.clear()

    async def place(self, body: Object) -> str:
        """Give it a node if one fits; the result is the reason why none does, or empty.

        Raises ApiError, ApiUnavailable when the API server does not answer, and ValidationError.
        """
        uid, epoch = body["metadata"]["uid"], self.epoch
        wait = self._waiting.of(uid)
        if known := self._as_before(wait, body):
            wait.epoch = epoch
            return known.reason
        instance = ChallengeInstance.model_validate(body)
        challenge, template = await self._template(instance, body)
        pool_uid = await self._pool_of(instance)
        if self._accounts.pending.get(uid) is not body:
            return ""  # it has changed meanwhile, and comes again
        choice = self._choose(instance, template, wait)
        if isinstance(choice, Refusal):
            wait.epoch = epoch
            if choice is wait.missing:  # which no patience will mend
                await self._tell(body, instance, choice)
            return choice.reason
        # Nothing is awaited between the choice and this: what is chosen next counts it already.
        key, demand = challenge_key(instance), choice.demand
        assigned = Assigned(choice.node, demand.ports, False, key, demand.memory)
        self._accounts.begin(instance, body, assigned)
        moves = was_placed(instance)
        policy = instance.status.policy if moves else resolve_policy(instance, challenge)
        status = verdict.placed(instance, choice.node, choice.template, policy, datetime.now(UTC))
        status.pool_uid = pool_uid
        await self._assign(body, instance, status)
        return ""

    async def tell(self, body: Object) -> None:
        """Say in its status why it waits, unless it need not any more; raises as ``place``."""
        instance = ChallengeInstance.model_validate(body)
        _, template = await self._template(instance, body)
        if self._accounts.pending.get(instance.metadata.uid) is not body:
            return
        uid = instance.metadata.uid
        choice = self._choose(instance, template, self._waiting.of(uid))
        if not isinstance(choice, Refusal):
            return
        if choice.reason != reasons.WAITING_FOR_NODE or not self._waiting.is_patient(uid):
            await self._tell(body, instance, choice)

    def _as_before(self, wait: Wait, body: Object) -> Refusal | None:
        """Why it must wait on, as far as that is known without looking at it closely."""
        if wait.generation != self._challenges.generation:
            return None
        if wait.missing or wait.demand is None:
            return wait.missing
        user = str(body["spec"].get("user") or "")
        over = self._accounts.quota.refusal(user, body["metadata"]["uid"])
        return over or self._refused.get(wait.demand)

    def _choose(
        self, instance: ChallengeInstance, template: TemplateSpec | Refusal, wait: Wait
    ) -> Refusal | _Choice:
        """The node that is best, or why none takes it."""
        uid = instance.metadata.uid
        wait.generation, wait.demand, wait.missing = self._challenges.generation, None, None
        if isinstance(template, Refusal):
            wait.missing = template
            return template
        demand = wait.demand = demand_of(instance, template, self._accounts.assignments.memory)
        refusal = self._accounts.quota.refusal(instance.spec.user or "", uid)
        if refusal := refusal or self._refused.get(demand):
            return refusal
        with self._accounts.assignments.without(uid) as others:
            chosen = choose_for(demand, self._nodes, others)
        if isinstance(chosen, Refusal):
            self._refused[demand] = chosen
            return chosen
        return _Choice(chosen, template, demand)

    async def _template(
        self, instance: ChallengeInstance, body: Object
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
        template = resolve(instance, challenge)
        return challenge, size.refusal(body, template) or template

    async def _assign(
        self, body: Object, instance: ChallengeInstance, status: InstanceStatus
    ) -> None:
        """Write a placement; what is counted for it is given back only if it surely failed."""
        uid = instance.metadata.uid
        try:
            written = await self._write(body, status)
        except ApiUnavailable as error:
            if error.status == TOO_MANY_REQUESTS:
                self._accounts.refused(instance)
            else:
                self._accounts.unanswered(uid)
            raise
        except Unauthorized:
            self._accounts.refused(instance)
            raise
        if written is None:
            self._waiting.refuse(body)
            self._accounts.refused(instance)
            return
        self._accounts.landed(uid, written)
        self._waiting.forget(uid)

    async def _tell(self, body: Object, instance: ChallengeInstance, refusal: Refusal) -> None:
        before = verdict.told(instance)
        if before == refusal:
            return
        written = await self._write(body, verdict.waiting(instance, refusal, datetime.now(UTC)))
        is_new = before is None or before.reason != refusal.reason
        if written is not None and is_new and refusal.reason not in reasons.PROGRESS:
            self._recorder.event(body, "Warning", refusal.reason, refusal.message)

    async def _write(self, body: Object, status: InstanceStatus) -> Object | None:
        """Write the status over what was read; None when the API server has refused that.

        Raises ApiUnavailable when it is not known whether it was written, Unauthorized when nothing
        can be at the moment.
        """
        try:
            written = await status_writer.write(self._cluster, INSTANCES, body, status.manifest())
        except (Conflict, NotFound):
            return None  # the watch brings what it is now
        except (ApiUnavailable, Unauthorized):
            raise
        except ApiError as error:
            logger.warning("Cannot write the status of %s: %s", body["metadata"]["name"], error)
            return None
        self._accounts.pending.renew(body, plain(written))
        return written


def plain(body: Object) -> Object:
    """A body without who set which field, which is half of its size.

    What is nested is shared with ``body``, which nobody changes.
    """
    meta = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    return {**body, "metadata": meta}
