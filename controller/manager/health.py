"""What follows when a node is silent: it is marked, so are its instances, and then they move.

**Silent** is a node whose Lease was watched for its duration (40 s) and not renewed; see
heartbeats for what counts. Then only the manager writes its status and that of its instances:
Ready=Unknown, NodeLost, one write each. After `node_loss_timeout` from its last renewal its
instances move, unless their Challenge says `nodeLossPolicy: Wait` or they are pinned to it, and
only as long as another node could take them.

**All at once**: a node's silence is held against the node only if another node was heard of within
half of a Lease's duration. If none was, and others fell silent within a Lease's duration of it, the
way between nodes and API server is what is broken (a manager that is cut off itself reads no
Leases, and loses its own): every node says AllNodesLost, no instance is marked, none moves. A node
that falls silent alone, the only one of its cluster or the last one left, is lost like any other;
there is nothing to move to. When more than half of the nodes are silent, one instance moves every
10 s: that is rather a fault between the nodes than so many broken machines.

A node whose ChallengeNode was deleted is not waited for: see orphans.

Nothing is written over what has changed since it was read, nor once the Lease was renewed: both are
looked at before each write. An agent that returns writes the status of its instances anew.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError

from controller.api import conditions, reasons
from controller.api.instance import ChallengeInstance
from controller.api.node import ChallengeNode
from controller.cluster import status as status_writer
from controller.cluster.client import INSTANCES, NODES, Cluster, Object
from controller.cluster.errors import ApiError, ApiUnavailable, Conflict, NotFound
from controller.cluster.events import Recorder
from controller.manager.heartbeats import period
from controller.manager.move import move
from controller.manager.nodes import Nodes
from controller.manager.orphans import PACE, Orphans, instances_on, key
from controller.settings import Settings

logger = logging.getLogger(__name__)

MASS_PACE: Final = 10.0
"""Seconds between two moves while more than half of the nodes are silent."""
LOOK_AGAIN: Final = 30.0
"""Seconds until a lost node's instances are listed again though nothing is due."""


class Health:
    """Looks after the nodes that are silent or gone, and their instances."""

    def __init__(
        self,
        cluster: Cluster,
        recorder: Recorder,
        nodes: Nodes,
        in_use: Callable[[], set[str]],
        settings: Settings,
    ) -> None:
        """``in_use`` gives the names of the nodes that instances are on, known or not."""
        self._cluster = cluster
        self._recorder = recorder
        self._nodes = nodes
        self._in_use = in_use
        self._settings = settings
        self._beats = nodes.heartbeats
        self._now = nodes.monotonic
        self._listed_again: dict[str, float] = {}
        self._all_marked: set[str] = set()
        self._marked: dict[str, float] = {}
        self._next_move = -MASS_PACE
        self.orphans = Orphans(cluster, recorder, nodes, settings)

    async def run(self) -> None:
        """Look after them until cancelled."""
        while True:
            await asyncio.sleep(period(self._nodes.lease_duration))
            try:
                await self._round()
            except ApiError as error:
                logger.warning("Cannot look after lost nodes: %s", error)

    async def _round(self) -> None:
        await self.orphans.let_go()
        in_use, now = self._in_use() - self._nodes.others.names, self._now()
        self._nodes.watched = in_use
        silent = {name for name in self._nodes.by_name.keys() | in_use if self._silent(name)}
        self._listed_again = {n: at for n, at in self._listed_again.items() if n in silent}
        self._all_marked &= silent
        again = now - self._nodes.lease_duration
        self._marked = {key: at for key, at in self._marked.items() if at > again}
        for name in sorted(silent):
            try:
                await self._look_after(name, has_instances=name in in_use)
            except ApiUnavailable:
                raise
            except (ApiError, ValidationError) as error:
                logger.warning("Cannot look after the lost node %s: %s", name, error)

    async def _look_after(self, name: str, *, has_instances: bool) -> None:
        if name not in self._nodes.by_name:
            await self._gone(name)
            return
        await self._tell(name)
        if has_instances and self._held_against(name):
            await self._lost(name)

    async def _gone(self, name: str) -> None:
        if self._now() >= self._listed_again.get(name, 0.0) and await self.orphans.take_off(name):
            self._listed_again[name] = self._now() + LOOK_AGAIN

    def _silent(self, name: str) -> bool:
        return not self._beats.blind() and self._beats.lost(name)

    def _held_against(self, name: str) -> bool:
        """Whether the node's silence is the node's own; see the module's text."""
        others = self._nodes.by_name.keys() - {name}
        return any(self._beats.recent(other) for other in others) or not any(
            self._beats.together(name, other) for other in others
        )

    async def _tell(self, name: str) -> None:
        """Have the node's Ready say that it is lost, unless it does."""
        reason, message = reasons.NODE_LOST, "Its agent does not renew its Lease"
        if not self._held_against(name):
            reason = reasons.ALL_NODES_LOST
            message = "No node renews its Lease: look at the way from the nodes to the API server"
        ready = conditions.get(self._nodes.by_name[name].object.status.conditions, conditions.READY)
        if ready is not None and (ready.status, ready.reason) == ("Unknown", reason):
            return
        if f"node {name}" in self._marked:
            return
        body = await self._cluster.get(NODES, name)
        status = ChallengeNode.model_validate(body).status
        unknown(status.conditions, reason, message, status.observed_generation)
        if await self._renewed(name):
            return
        logger.warning("ChallengeNode %s: %s (%s)", name, message, reason)
        self._marked[f"node {name}"] = self._now()
        try:
            written = await status_writer.write(self._cluster, NODES, body, status.manifest())
        except (Conflict, NotFound):
            return  # the watch brings what it is now
        if known := self._nodes.by_name.get(name):
            known.object = ChallengeNode.model_validate(written)

    async def _renewed(self, name: str) -> bool:
        return await self._beats.heard(self._cluster, self._settings.controller_namespace, name)

    async def _lost(self, name: str) -> None:
        """Mark or move the instances of a node that is silent."""
        if self._now() < self._listed_again.get(name, 0.0):
            return
        due = self._left(name) <= 0
        if due and name in self._all_marked and not self._may_move():
            return
        settled = True
        for body in await instances_on(self._cluster, self._settings, name):
            if not self._silent(name) or not self._held_against(name):
                return
            settled = await self._one(name, body, due=due) and settled
        self._all_marked.add(name)
        if settled:
            left = self._left(name)
            self._listed_again[name] = self._now() + (
                min(left, LOOK_AGAIN) if left > 0 else LOOK_AGAIN
            )

    def _left(self, name: str) -> float:
        """Seconds until a lost node's instances may move."""
        return self._settings.node_loss_timeout - self._beats.unheard(name)

    async def _one(self, name: str, body: Object, *, due: bool) -> bool:
        """Mark or move one instance; whether nothing more is to be done about it for now."""
        try:
            instance = ChallengeInstance.model_validate(body)
            at_rest = conditions.is_true(instance.status.conditions, conditions.EXPIRED)
            if instance.is_deleting or at_rest:
                return True
            if not _is_marked(instance):
                return await self._mark(name, body, instance)
            if not due or not self._movable(name, instance):
                return True
            if not self._may_move() or await self._renewed(name):
                return False
            why = f"Node {name} was lost: it has not reported for {self._beats.unheard(name):.0f} s"
            return await self._move(body, why)
        except ApiUnavailable:
            raise
        except (ApiError, ValidationError) as error:
            logger.warning("Cannot look after %s on a lost node: %s", key(body), error)
            return False

    async def _mark(self, name: str, body: Object, instance: ChallengeInstance) -> bool:
        """Have an instance's Ready be Unknown.

        At most once in a Lease's duration: an agent that writes but does not renew its Lease would
        write against us for ever.
        """
        uid = instance.metadata.uid
        if uid in self._marked or await self._renewed(name):
            return False
        self._marked[uid] = self._now()
        status = instance.status.model_copy(deep=True)
        message = f"Node {name} does not report; what runs there is not known"
        unknown(status.conditions, reasons.NODE_LOST, message, status.observed_generation)
        try:
            await status_writer.write(self._cluster, INSTANCES, body, status.manifest())
        except (Conflict, NotFound):
            return False
        await asyncio.sleep(PACE)
        return self._left(name) > 0

    def _movable(self, name: str, instance: ChallengeInstance) -> bool:
        policy = instance.status.policy
        if policy is not None and policy.node_loss_policy == "Wait":
            return False
        if instance.spec.node_name == name:
            return False  # no other node may have it
        wanted = instance.spec.node_selector
        return any(
            not node.problem() and node.matches(wanted) for node in self._nodes.by_name.values()
        )

    def _may_move(self) -> bool:
        """Whether a move may be now: few at a time while more than half of the nodes are silent."""
        lost = sum(self._beats.lost(name) for name in self._nodes.by_name)
        return 2 * lost <= len(self._nodes.by_name) or self._now() >= self._next_move

    async def _move(self, body: Object, why: str) -> bool:
        self._next_move = self._now() + MASS_PACE
        moved = await move(self._cluster, self._recorder, body, why)
        if moved:
            logger.warning("Moving %s: %s", key(body), why)
        await asyncio.sleep(PACE)
        return moved


def _is_marked(instance: ChallengeInstance) -> bool:
    ready = conditions.get(instance.status.conditions, conditions.READY)
    return ready is not None and (ready.status, ready.reason) == ("Unknown", reasons.NODE_LOST)


def unknown(into: list[conditions.Condition], reason: str, message: str, generation: int) -> None:
    """Have conditions say that nothing is known of their object any more, whatever they said."""
    conditions.set_condition(
        into,
        conditions.READY,
        "Unknown",
        reason,
        message,
        now=datetime.now(UTC),
        observed_generation=generation,
    )
