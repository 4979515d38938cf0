"""The end of an installation: its instances go, then its nodes, as long as all agents still run.

Nothing is forced: what an agent that is down would have to take away stays, and is named, and the
next run goes on from there. What is another installation's is not touched.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from controller.api import conditions, labels
from controller.api.annotations import UNINSTALL
from controller.api.meta import rfc3339
from controller.api.node import ChallengeNode
from controller.cluster.client import INSTANCES, LEASES, NODES, POOLS, Cluster, Kind, Object
from controller.cluster.errors import ApiUnavailable, Conflict, NotFound
from controller.manager.heartbeats import PREFIX
from controller.settings import Settings

PERIOD: Final = 1.0
"""Seconds between two looks at what is waited for."""
SHOWN: Final = 10
"""Names in one message at most."""


class NotUninstalled(Exception):
    """Something is left; the text has a line for each thing, with what to do."""


class Uninstall:
    """One run of it."""

    def __init__(
        self,
        cluster: Cluster,
        settings: Settings,
        say: Callable[[str], None],
        *,
        timeout: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``say`` is told how it goes, a line each; ``timeout`` is in seconds, for all of it."""
        self._cluster, self._settings = cluster, settings
        self._say = say
        self._monotonic = monotonic
        self._timeout = timeout
        self._deadline = monotonic() + timeout
        self._asked = rfc3339(datetime.now(UTC))
        self._said = ""
        self._others: set[str] = set()
        self._namespaces: tuple[str, ...] = settings.namespaces or ("",)
        self._spared: set[str] = set()

    async def run(self) -> None:
        """Take all of the installation away; raises NotUninstalled, ApiError."""
        await self._until_gone(self._look_around)
        for what, attempt in (
            ("ChallengePools", self._pools),
            ("ChallengeInstances", self._instances),
            ("ChallengeNodes", self._nodes),
        ):
            await self._until_gone(attempt)
            self._say(f"No {what} of installation {self._settings.installation} are left")

    async def _until_gone(self, attempt: Callable[[], Awaitable[list[str]]]) -> None:
        """Try until nothing is left; raises NotUninstalled with what is, when the time is over."""
        while left := await self._tried(attempt):
            if self._monotonic() >= self._deadline:
                raise NotUninstalled("\n".join(left))
            await asyncio.sleep(PERIOD)

    async def _tried(self, attempt: Callable[[], Awaitable[list[str]]]) -> list[str]:
        """What an attempt leaves; while the API server does not answer, that it does not."""
        try:
            return await attempt()
        except ApiUnavailable as error:
            self._tell(str(error))
            return [f"{error}: run this again when it does"]

    def _tell(self, text: str) -> None:
        if text != self._said:
            self._say(text)
        self._said = text

    async def _look_around(self) -> list[str]:
        """Learn which nodes and namespaces are other installations'."""
        self._others.clear()
        async for body in self._cluster.list(NODES):
            if self._is_ours(body):
                continue
            self._others.add(body["metadata"]["name"])
            status = ChallengeNode.model_validate(body).status
            if status.controller_namespace is not None and not status.namespaces:
                whose = labels.installation(body["metadata"].get("labels") or {})
                raise NotUninstalled(
                    f"The installation {whose} serves all namespaces, so that it cannot be told "
                    "which pools and instances are whose: delete this installation's own by hand, "
                    f"or give {whose} CHALLENGE_NAMESPACES, then run this again"
                )
            self._spared |= set(status.namespaces)
        return []

    def _is_ours(self, body: Object) -> bool:
        whose = labels.installation(body["metadata"].get("labels") or {})
        return whose == self._settings.installation

    async def _pools(self) -> list[str]:
        names = []
        async for body in self._served(POOLS):
            names.append(_key(body))
            await self._delete(POOLS, body)
        return [f"{len(names)} ChallengePools are still there: {_some(names)}"] if names else []

    async def _instances(self) -> list[str]:
        """Delete those that are there; a line for each node that has any left."""
        left: dict[str, list[str]] = defaultdict(list)
        async for body in self._served(INSTANCES):
            node = (body.get("status") or {}).get("nodeName") or ""
            if node not in self._others:
                left[node].append(_key(body))
                await self._delete(INSTANCES, body)
        if not left:
            return []
        counts = ", ".join(f"{len(keys)} on {node or 'no node'}" for node, keys in left.items())
        self._tell(f"Waiting for instances: {counts}")
        if self._monotonic() < self._deadline:
            return [counts]
        nodes = {body["metadata"]["name"]: body async for body in self._cluster.list(NODES)}
        return [self._stuck(node, keys, nodes.get(node)) for node, keys in sorted(left.items())]

    def _stuck(self, node: str, keys: list[str], body: Object | None) -> str:
        """What keeps the instances of a node, and what to do about it."""
        there = f"{len(keys)} instances on {node or 'no node'} are still there after "
        there += f"{self._timeout:.0f} s: {_some(keys)}. "
        if not node or body is None:
            return (
                f"{there}A manager takes off the finalizer that an agent would: see that one runs, "
                "and that no finalizer of somebody else's holds them"
            )
        return f"{there}{self._state(body)}{self._remedy(node)}"

    async def _nodes(self) -> list[str]:
        """Ask each node's agent, and delete those that have nothing left; a line for each other."""
        left = []
        async for body in self._cluster.list(NODES):
            if not self._is_ours(body):
                continue
            name = body["metadata"]["name"]
            if self._is_uninstalled(body):
                await self._forget(body)
                self._say(f"ChallengeNode {name} uninstalled")
                continue
            if (body["metadata"].get("annotations") or {}).get(UNINSTALL) != self._asked:
                patch = {"metadata": {"annotations": {UNINSTALL: self._asked}}}
                with suppress(NotFound):
                    await self._cluster.merge(NODES, name, patch)
            left.append(
                f"Node {name} has not said within {self._timeout:.0f} s that nothing is left on "
                f"it. {self._state(body)}{self._remedy(name)}"
            )
        if left:
            self._tell(f"Waiting for the agents of {len(left)} nodes")
        return left

    def _is_uninstalled(self, body: Object) -> bool:
        """Whether the agent has said so since it was asked this time."""
        found = conditions.get(
            ChallengeNode.model_validate(body).status.conditions, conditions.UNINSTALLED
        )
        return found is not None and found.status == "True" and found.message.endswith(self._asked)

    async def _forget(self, body: Object) -> None:
        """Delete a node with its Lease, which goes first: a node is what the next run looks for."""
        name, namespace = body["metadata"]["name"], self._settings.controller_namespace
        with suppress(NotFound):
            await self._cluster.delete(LEASES, f"{PREFIX}{name}", namespace)
        await self._delete(NODES, body)

    async def _delete(self, kind: Kind, body: Object) -> None:
        """Delete this very object, unless that was asked for already."""
        meta = body["metadata"]
        if meta.get("deletionTimestamp"):
            return
        with suppress(NotFound, Conflict):
            await self._cluster.delete(
                kind, meta["name"], meta.get("namespace", ""), uid=meta["uid"]
            )

    async def _served(self, kind: Kind) -> AsyncIterator[Object]:
        """The objects of the namespaces that are this installation's."""
        for namespace in self._namespaces:
            async for body in self._cluster.list(kind, namespace):
                if body["metadata"]["namespace"] not in self._spared:
                    yield body

    def _state(self, body: Object) -> str:
        """What a node says of itself, as far as it tells why it is waited for."""
        said = ChallengeNode.model_validate(body).status.conditions
        for kind in (conditions.UNINSTALLED, conditions.READY):
            found = conditions.get(said, kind)
            if found is not None and found.status != "True":
                words = f"{kind}={found.status} ({found.reason}"
                return f"It says {words}{f': {found.message}' if found.message else ''}). "
        return ""

    def _remedy(self, node: str) -> str:
        return (
            "See that its engine and its agent run, and run this again; if its host is gone for "
            f"good: kubectl challenge forget-node {node}"
        )


def _key(body: Object) -> str:
    return f"{body['metadata']['namespace']}/{body['metadata']['name']}"


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(sorted(names)[:SHOWN]) + (f" and {more} more" if more > 0 else "")
