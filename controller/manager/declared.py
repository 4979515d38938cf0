"""The status of Challenges, which are declared once and used often.

So that a tool which waits for an object to be settled (kstatus) sees that it was taken note of, and
its author how often it is used. Writes are coalesced: counts change with every instance.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError

from controller.api import conditions, reasons
from controller.api.challenge import Challenge, ChallengeStatus
from controller.api.node import ChallengeNode
from controller.cluster import status as status_writer
from controller.cluster.client import Cluster, Kind, Object
from controller.cluster.errors import ApiError, Conflict, NotFound

logger = logging.getLogger(__name__)

PERIOD: Final = 5.0
"""Seconds between two writes for counts; a new generation is told at once."""
NAMED: Final = 3
"""Nodes that the condition PrePulled names; the others are counted."""


class Declared:
    """Keeps the status of all Challenges."""

    def __init__(
        self,
        cluster: Cluster,
        instances: Callable[[], Counter[str]],
        nodes: Callable[[], list[ChallengeNode]],
    ) -> None:
        """``instances`` counts instances by the namespace/name of their Challenge.

        ``nodes`` gives all nodes, ready or not: one that is away and comes back without an image
        is what prePull is to show.
        """
        self._cluster = cluster
        self._instances = instances
        self._nodes = nodes
        self._objects: dict[tuple[Kind, str], Object] = {}
        self._new = asyncio.Event()

    def observe(self, kind: Kind, body: Object, *, deleted: bool) -> None:
        """Take an object as the watch has it."""
        uid = body["metadata"]["uid"]
        if deleted:
            self._objects.pop((kind, uid), None)
            return
        self._objects[kind, uid] = body
        seen = (body.get("status") or {}).get("observedGeneration", -1)
        if seen != body["metadata"].get("generation"):
            self._new.set()

    async def run(self) -> None:
        """Write what has changed until cancelled."""
        while True:
            self._new.clear()
            counts = self._instances()
            for (kind, uid), body in list(self._objects.items()):
                await self._settle(kind, uid, body, counts)
            try:
                async with asyncio.timeout(PERIOD):
                    await self._new.wait()
            except TimeoutError:
                continue

    async def _settle(self, kind: Kind, uid: str, body: Object, counts: Counter[str]) -> None:
        name = body["metadata"]["name"]
        try:
            status = self._challenge(body, counts)
            if status is None:
                return
            written = await status_writer.write(self._cluster, kind, body, status.manifest())
        except (Conflict, NotFound):
            return  # the watch brings what it is now
        except (ApiError, ValidationError) as error:
            logger.warning("Cannot write the status of %s %s: %s", kind.kind, name, error)
            return
        if (kind, uid) in self._objects:
            self._objects[kind, uid] = written

    def _challenge(self, body: Object, counts: Counter[str]) -> ChallengeStatus | None:
        """The status of a Challenge; None when it has it already."""
        challenge = Challenge.model_validate(body)
        status = challenge.status.model_copy(deep=True)
        status.observed_generation = challenge.metadata.generation
        status.instances = counts[challenge.key]
        _set(status, challenge, conditions.READY, "True", reasons.READY)
        _show_pre_pulled(status, challenge, self._nodes())
        return None if status == challenge.status else status


def _show_pre_pulled(
    status: ChallengeStatus, challenge: Challenge, nodes: list[ChallengeNode]
) -> None:
    if not challenge.spec.pre_pull:
        status.pre_pulled = None
        conditions.remove(status.conditions, conditions.PRE_PULLED)
        return
    wanted = {container.image for container in challenge.spec.template.containers}
    lacking = [
        f"{node.metadata.name} has not got {', '.join(sorted(missing))}"
        for node in sorted(nodes, key=lambda node: node.metadata.name)
        if (missing := wanted - set(node.status.images))
    ]
    status.pre_pulled = f"{len(nodes) - len(lacking)}/{len(nodes)} nodes"
    if nodes and not lacking:
        _set(status, challenge, conditions.PRE_PULLED, "True", reasons.PRE_PULLED)
        return
    more = f"; {len(lacking) - NAMED} more nodes" if len(lacking) > NAMED else ""
    message = f"{'; '.join(lacking[:NAMED])}{more}" if nodes else "There is no node"
    _set(status, challenge, conditions.PRE_PULLED, "False", reasons.PULLING_IMAGE, message)


def _set(
    status: ChallengeStatus,
    challenge: Challenge,
    kind: str,
    value: conditions.Status,
    reason: str,
    message: str = "",
) -> None:
    conditions.set_condition(
        status.conditions,
        kind,
        value,
        reason,
        message,
        now=datetime.now(UTC),
        observed_generation=challenge.metadata.generation,
    )
