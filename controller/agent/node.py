"""The node's own object: registers the ChallengeNode, keeps its status, follows its spec.

The operator's spec is read, never written. Status writes are coalesced.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from controller.agent.inforce import InForce
from controller.agent.registration import register
from controller.api.annotations import UNINSTALL
from controller.api.node import ChallengeNode, NodeStatus
from controller.cluster import status as status_writer
from controller.cluster.client import NODES, Cluster, Object
from controller.cluster.errors import ApiError, Conflict, NotFound
from controller.cluster.tasks import until_done
from controller.settings import Settings

logger = logging.getLogger(__name__)

STATUS_PERIOD: Final = 10.0
"""Seconds between two status writes at least, unless a condition changes."""
RESTLESS_PERIOD: Final = 2.0
"""Seconds between two looks while the ledger cannot be used, or ports outside of the range are held
that will go: the manager must not count on them."""
RETRY: Final = 1.0
"""Seconds after which a status that could not be written is tried again."""


class NodeKeeper:
    """One node's ChallengeNode, from its agent's side."""

    def __init__(
        self,
        cluster: Cluster,
        settings: Settings,
        in_force: InForce,
        draft: Callable[[ChallengeNode], Awaitable[NodeStatus]],
        *,
        restless: Callable[[], bool] = lambda: False,
    ) -> None:
        """``draft`` gives the status that is right for the object as read.

        ``restless``: what nobody announces may change, so that it is looked at more often.
        """
        self._cluster = cluster
        self._settings = settings
        self._in_force = in_force
        self._draft = draft
        self._restless = restless
        self._due = asyncio.Event()
        self._read: Object = {}
        self._written = float("-inf")
        self._told: tuple[object, ...] = ()
        self._overtaken = False
        self._asked, self._uninstall = "", asyncio.Event()
        self.deleted = False
        self.in_force = asyncio.Event()
        """Set once the operator's spec was read and is in force."""

    @property
    def name(self) -> str:
        """The node's name."""
        return self._settings.node_name

    @property
    def read(self) -> Object | None:
        """The object as it was last read or written; None before that."""
        return self._read or None

    @property
    def public_address(self) -> str:
        """The address that the operator has set on the ChallengeNode; empty without one."""
        return self._in_force.public_address

    def changed(self) -> None:
        """Write the status soon, if a condition has changed."""
        self._due.set()

    def observe(self, body: dict[str, Any]) -> None:
        """Take the object as the watch has it; empty when it was deleted."""
        if not body:
            self.deleted = True
            self._due.set()
            return
        self._note(body)
        node = ChallengeNode.model_validate(body)
        self._in_force.follow(node)
        # The operator has changed the spec, or the manager the status: it took the node for lost.
        is_new = node.metadata.generation != node.status.observed_generation
        if is_new or _news(node.status) != self._told:
            self._due.set()

    async def uninstall_asked(self) -> str:
        """Wait until the node is to be uninstalled, as last read; when that was asked."""
        await self._uninstall.wait()
        return self._asked

    def _note(self, body: Object) -> None:
        self._asked = asked_by(body)
        if self._asked:
            self._uninstall.set()
        else:
            self._uninstall.clear()

    async def register(self) -> None:
        """Make the ChallengeNode if there is none; raises ApiError."""
        self._read = await register(self._cluster, self._settings, cordoned=self.deleted)
        self._note(self._read)
        self.deleted, self._told = False, ()
        self._in_force.follow(ChallengeNode.model_validate(self._read))

    async def run(self) -> None:
        """Register the node, then keep its status up to date, until cancelled."""
        await until_done(f"Cannot register ChallengeNode {self.name}", self.register)
        while True:
            self._due.clear()
            try:
                if self.deleted:
                    await self.register()
                await self._write()
            except ApiError as error:
                logger.warning("Cannot write the status of ChallengeNode %s: %s", self.name, error)
                await asyncio.sleep(RETRY)
                continue
            try:
                async with asyncio.timeout(self._period()):
                    await self._due.wait()
            except TimeoutError:
                continue

    def _period(self) -> float:
        """Seconds until the next look, if nothing calls for one before."""
        if self._restless():
            return RESTLESS_PERIOD
        left = self._written + STATUS_PERIOD - asyncio.get_running_loop().time()
        return left if left > 0 else STATUS_PERIOD

    async def _write(self) -> None:
        """Write the status if it has changed, and its time has come or a condition has changed.

        Raises ApiError; Conflict when somebody else was faster twice in a row.
        """
        try:
            self._read = await self._cluster.get(NODES, self.name)
        except NotFound:
            self.deleted = True
            self._due.set()
            return
        self._note(self._read)
        node = ChallengeNode.model_validate(self._read)
        self._in_force.follow(node)
        if await self._in_force.adopt_range(node):
            self.in_force.set()
        status = await self._draft(node)
        now, news = asyncio.get_running_loop().time(), _news(status)
        early = now - self._written < STATUS_PERIOD
        # Compared with what was told, not with what is there: a manager that takes the node for
        # lost, and is wrong, is not to be answered more often than this either.
        if status == node.status or (early and news == self._told):
            return
        try:
            self._read = await status_writer.write(
                self._cluster, NODES, self._read, status.manifest()
            )
        except Conflict:
            if self._overtaken:
                raise
            self._overtaken = True
            self._due.set()
        else:
            self._written, self._told, self._overtaken = now, news, False


def asked_by(body: Object) -> str:
    """When a ChallengeNode's operator has asked to uninstall it; empty if not."""
    return str((body["metadata"].get("annotations") or {}).get(UNINSTALL) or "")


def _news(status: NodeStatus) -> tuple[object, ...]:
    """What is told at once; everything else, how much is taken above all, can wait a little."""
    said = [(each.type, each.status, each.reason) for each in status.conditions]
    ports = status.capacity.ports if status.capacity else None
    return (
        *(said, status.observed_generation, status.address, status.engine),
        *(status.port_range, ports),
    )
