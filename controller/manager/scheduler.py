"""Whose turn it is: instances that wait for a node are tried one after the other, fairly.

Woken by any change that could help. It holds no state that a restart would miss: everything comes
again with the watch's first list.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Final

from pydantic import ValidationError

from controller.api import reasons
from controller.api.instance import ChallengeInstance
from controller.cluster.client import Cluster, Object
from controller.cluster.errors import ApiError, ApiUnavailable, Unauthorized
from controller.cluster.events import Recorder
from controller.manager.accounts import Accounts
from controller.manager.assignments import Assignments
from controller.manager.challenges import Challenges
from controller.manager.nodes import Nodes
from controller.manager.pending import Pending
from controller.manager.placement import has_room
from controller.manager.placer import Placer, PoolOf, no_pool, plain
from controller.manager.quota import Quota
from controller.manager.waiting import Waiting

__all__ = ["PARALLEL", "Scheduler", "plain"]

logger = logging.getLogger(__name__)

PARALLEL: Final = 8
"""Assignments written at a time."""
AWAY: Final = 1.0
"""Seconds before the next try when the API server does not answer."""
BREATH: Final = 50
"""Instances looked at before others of this process have a turn."""
LOOKS_PER_SECOND: Final = 100_000
"""Instances looked at in vain at most: thousands may wait while each second brings news."""


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
        pool_of: PoolOf = no_pool,
    ) -> None:
        """The collections are shared with who fills them from the watch.

        ``pool_of`` tells the uid of the ChallengePool that an instance really belongs to.
        """
        self._nodes, self._pending, self._assignments = nodes, pending, assignments
        self._accounts = Accounts(pending, assignments, quota or Quota(), self.kick)
        self._waiting = Waiting(lambda: asyncio.get_running_loop().time())
        self._placer = Placer(
            cluster,
            recorder,
            nodes,
            self._accounts,
            challenges or Challenges(cluster),
            self._waiting,
            pool_of,
        )
        self._woken = asyncio.Event()
        self._busy: set[str] = set()
        self._away, self._looks = False, 0

    # -- what the watch brings -----------------------------------------------------------------

    def kick(self) -> None:
        """Something has changed that could help an instance that waits."""
        self._placer.changed()
        self._woken.set()

    def retry_all(self) -> None:
        """Everything was compared with the API server: try all, also what could not be written."""
        self._waiting.forgive()
        self.kick()

    def waits(self, instance: ChallengeInstance, body: Object) -> None:
        """An instance has no node, as far as the watch knows."""
        if self._accounts.waits(instance, body):
            self._waiting.of(instance.metadata.uid)
            self._woken.set()

    def has_node(self, instance: ChallengeInstance, node: str) -> None:
        """An instance has a node, as the watch has it."""
        if self._accounts.has_node(instance, node):
            self._waiting.forget(instance.metadata.uid)

    def gone(self, uid: str) -> None:
        """An instance is gone, or will be without ever having had a node."""
        self._accounts.gone(uid)
        self._waiting.forget(uid)

    def known(self) -> set[str]:
        """The uids of all instances that it has heard of and that are not gone."""
        return self._accounts.known()

    def forget_versions(self) -> None:
        """What the watch brings next counts, whatever was written: the store has gone back."""
        self._accounts.forget_versions()

    def is_busy(self) -> bool:
        """Whether placements are being written, and more of them wait."""
        return len(self._busy) > PARALLEL // 2

    # -- rounds --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Place until cancelled; what there is has to be known before."""
        while True:
            await self._wait_for_work()
            self._woken.clear()
            self._away, self._looks = False, 0
            self._waiting.retry()
            turns = self._pending.in_turn()
            await asyncio.gather(*(self._work(turns, teller=n == 0) for n in range(PARALLEL)))
            await asyncio.gather(*(self._tell_due() for _ in range(PARALLEL)))
            if self._away:
                await asyncio.sleep(AWAY)
                self.kick()
            elif self._looks > BREATH:
                await asyncio.sleep(self._looks / LOOKS_PER_SECOND)

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
            if self._waiting.is_vain(body, self._placer.epoch):
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
            if not tell:
                return await self._placer.place(body)
            await self._placer.tell(body)
        except (ApiUnavailable, Unauthorized) as error:
            if not self._away:
                logger.warning("Placement waits for the API server: %s", error)
            self._away = True
        except (ApiError, ValidationError) as error:
            logger.warning("Cannot place %s: %s", body["metadata"]["name"], error)
            self._waiting.refuse(body)
        finally:
            self._busy.discard(uid)
        return ""
