"""Empties nodes with `drain: All` of players' instances: one after another, as others take them.

Instances of ChallengePools are the pools' part (``pool_plan``), for `drain: Managed` as well. An
instance moves only while placement finds another node that would launch it at once: without one it
is up where it is, and stays. What is being deleted, or retained after its time, stays to the end;
so does what a node had that does not report, which is for the loss of nodes to decide.

Level-triggered: each round reads the node's instances anew, so another manager goes on where one
ended. Progress is what is left on the node. Writes nothing but moves.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError

from controller.api import conditions
from controller.api.instance import ChallengeInstance
from controller.cluster.client import INSTANCES, Cluster, Object
from controller.cluster.errors import ApiError
from controller.cluster.events import Recorder
from controller.manager.move import move
from controller.manager.nodes import Nodes
from controller.manager.placement import Assignments, Refusal, choose

logger = logging.getLogger(__name__)

PAUSE: Final = 1.0
"""Seconds between two rounds: each is a LIST of the node's instances."""
PATIENCE: Final = 10.0
"""Seconds after which a round goes on, or begins, though nothing was heard that could help."""


class Drain:
    """Moves players' instances off the nodes that are to be emptied of all."""

    def __init__(
        self,
        cluster: Cluster,
        recorder: Recorder,
        nodes: Nodes,
        assignments: Assignments,
        namespaces: Sequence[str] = (),
    ) -> None:
        """``assignments`` are what placement counts by; ``namespaces``: empty for all."""
        self._cluster, self._recorder = cluster, recorder
        self._nodes, self._assignments = nodes, assignments
        self._namespaces = namespaces or ("",)
        self._draining: set[str] = set()
        self._news = asyncio.Event()
        self._unplaced: set[str] = set()

    def nodes_changed(self) -> None:
        """A node has come, gone, or been changed."""
        self._draining = {
            name
            for name, node in self._nodes.by_name.items()
            if node.object.spec.unschedulable and node.object.spec.drain == "All"
        }
        self._news.set()

    def instance_changed(self, uid: str, node: str | None) -> None:
        """An instance has this node now, or none."""
        if node is not None and node not in self._draining:  # else the watch is behind
            self._unplaced.discard(uid)
        self._tell()

    def forget(self, uid: str) -> None:
        """The instance is gone."""
        self._unplaced.discard(uid)
        self._tell()

    async def run(self) -> None:
        """Drain until cancelled."""
        while True:
            await self._hear()
            for name in sorted(self._draining):
                try:
                    await self._empty(name)
                except ApiError as error:
                    logger.warning("Cannot drain node %s, trying again: %s", name, error)
            await asyncio.sleep(PAUSE)

    def _tell(self) -> None:
        if self._draining:
            self._news.set()

    async def _hear(self) -> None:
        """Wait for news; a drain in progress goes on without any after a while."""
        try:
            async with asyncio.timeout(PATIENCE if self._draining else None):
                await self._news.wait()
        except TimeoutError:
            return
        finally:
            self._news.clear()

    async def _empty(self, name: str) -> None:
        """Move what can be moved off a node now; raises ApiError."""
        selector = f"status.nodeName={name}"
        for namespace in self._namespaces:
            bodies = [
                body
                async for body in self._cluster.list(INSTANCES, namespace, field_selector=selector)
            ]
            for body in bodies:
                if not self._is_draining(name):
                    return
                await self._consider(name, body)

    async def _consider(self, name: str, body: Object) -> None:
        try:
            instance = ChallengeInstance.model_validate(body)
        except ValidationError as error:
            logger.warning("Cannot read instance %s: %s", body["metadata"]["name"], error)
            return
        if not _is_to_move(instance, name) or not await self._has_place(name, instance):
            return
        message = f"Node {name} is being drained"
        if await move(self._cluster, self._recorder, body, message):
            logger.info("Moved %s off node %s, which is being drained", instance.key, name)
            self._unplaced.add(instance.metadata.uid)

    async def _has_place(self, name: str, instance: ChallengeInstance) -> bool:
        """Whether another node takes it and launches it at once; waits while all are launching."""
        template = instance.status.template
        while template is not None and self._is_draining(name):
            if not self._unplaced:
                chosen = choose(instance, template, self._nodes, self._assignments)
                if isinstance(chosen, Refusal):
                    return False
                if self._assignments.load(chosen).unlaunched < self._nodes.launches(chosen):
                    return True
            await self._hear()
        return False

    def _is_draining(self, name: str) -> bool:
        node = self._nodes.by_name.get(name)
        return name in self._draining and node is not None and node.alive


def _is_to_move(instance: ChallengeInstance, node: str) -> bool:
    at_rest = conditions.is_true(instance.status.conditions, conditions.EXPIRED)
    here = instance.status.node_name == node
    return here and not (instance.is_deleting or at_rest or instance.is_pool_managed)
