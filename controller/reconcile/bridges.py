"""The node's shared bridges: made when needed, the next one before one is full.

Those of instances with egress Internet are apart from the others. Which instance is on which is
counted here, and read from the engine at first; nothing is written down.
"""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from controller.runtime import containers, labels, networks
from controller.runtime.engine import Engine
from controller.runtime.errors import NetworkExhausted, SubnetTaken
from controller.settings import Settings

PREFIX: Final = 22
"""1,021 addresses."""
ROOM: Final = 1000
"""Instances on a shared bridge: Linux gives a bridge 1,023 ports (BR_PORT_BITS), and those that are
on their way out still have theirs."""


class SharedBridges:
    """Numbered bridges of one node on which no container reaches another."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        """Nothing is known to be there at first."""
        self._engine = engine
        self._settings = settings
        self._pool = ipaddress.IPv4Network(settings.shared_subnets)
        self._members: dict[str, set[str]] | None = None
        self._ready: set[str] = set()
        self._full: set[str] = set()
        self._users = 0
        self._changing = asyncio.Lock()
        self._placing = asyncio.Lock()

    @asynccontextmanager
    async def in_use(self) -> AsyncIterator[None]:
        """Keep the bridges from being tidied away while a container is put on one."""
        async with self._changing:
            self._users += 1
        try:
            yield
        finally:
            self._users -= 1

    async def tidy(self) -> None:
        """Remove the bridges that carry no container; one that does stays.

        To be called when the node has no instance left, so that nothing of ours is.
        """
        async with self._changing:
            if self._users:
                return
            settings = self._settings
            # As the engine has them: an earlier process may have made more than this one knows.
            for network in await networks.list_networks(
                self._engine, installation=settings.installation, node=settings.node_name
            ):
                if network.kind == labels.KIND_SHARED:
                    await networks.remove_unused(self._engine, network.name)
            self.forget()

    async def place(self, uid: str, egress: str) -> str:
        """The name of a bridge with room for the instance, now counted there; made if need be.

        Raises NetworkExhausted when the range is used up, RuntimeFault.
        """
        async with self._placing:
            if self._members is None:
                self._members = await self._found()
            members = self._members
            for there in members.values():
                there.discard(uid)  # a bridge that it has just found full stays so
            for index in range(self._pool.num_addresses >> (32 - PREFIX)):
                name = labels.shared_network_name(self._settings.installation, index, egress)
                there = members.setdefault(name, set())
                if len(there) < ROOM and await self._take(name, index, egress):
                    there.add(uid)
                    return name
            self.forget()
            raise NetworkExhausted(0, f"all shared bridges of {self._pool} are full")

    def discard(self, uid: str) -> None:
        """The instance is on none any more, or never was."""
        for name, there in (self._members or {}).items():
            if uid in there:
                there.remove(uid)
                self._full.discard(name)

    def full(self, network: str) -> None:
        """The engine says that the bridge has no room, whatever was counted: go on with others."""
        self._full.add(network)

    def forget(self) -> None:
        """Believe nothing any more: the engine said that a bridge is gone, or one has room."""
        self._members = None
        self._ready.clear()
        self._full.clear()

    async def _found(self) -> dict[str, set[str]]:
        """The instances on each network, as the engine has them."""
        found: dict[str, set[str]] = {}
        settings = self._settings
        for state in await containers.list_containers(
            self._engine, installation=settings.installation, node=settings.node_name
        ):
            found.setdefault(state.network, set()).add(state.uid)
        return found

    async def _take(self, name: str, index: int, egress: str) -> bool:
        """Have the bridge there; False when it is full, or somebody else has its subnet."""
        if name in self._full:
            return False
        if name not in self._ready:
            try:
                await self._ensure(index, egress)
            except SubnetTaken:
                self._full.add(name)
                return False
            self._ready.add(name)
        return True

    async def _ensure(self, index: int, egress: str) -> None:
        """Make the bridge; one kind takes the range from its start, the other from its end."""
        size, settings = 2 ** (32 - PREFIX), self._settings
        first = int(self._pool.network_address) + index * size
        if egress == labels.EGRESS_INTERNET:
            first = int(self._pool.broadcast_address) + 1 - (index + 1) * size
        await networks.ensure_shared_network(
            self._engine,
            settings.installation,
            settings.node_name,
            index,
            ipaddress.IPv4Network((first, PREFIX)),
            egress=egress,
        )
