"""The node's shared bridges: made when needed, the next one when one is full."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from controller.runtime import labels, networks
from controller.runtime.engine import Engine
from controller.runtime.errors import NetworkExhausted, SubnetTaken
from controller.settings import Settings

PREFIX: Final = 22
"""1,021 containers on a shared bridge; a Linux bridge takes 1,023 ports."""


class SharedBridges:
    """Numbered bridges of one node on which no container reaches another."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        """Nothing is known to be there at first."""
        self._engine = engine
        self._settings = settings
        self._ready: dict[int, str] = {}
        self._index = 0
        self._users = 0
        self._changing = asyncio.Lock()

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

    async def current(self) -> str:
        """The name of a bridge that takes containers; made if it is not there.

        Raises NetworkExhausted when the range is used up, RuntimeFault.
        """
        if self._index not in self._ready:
            self._ready[self._index] = await self._next()
        return self._ready[self._index]

    def full(self, network: str) -> None:
        """That bridge has no room left: go on with the next one, once for all who say so."""
        if network == self._ready.get(self._index):
            self._index += 1

    def forget(self) -> None:
        """Believe nothing any more: the engine said that a bridge is gone, or one has room."""
        self._ready.clear()
        self._index = 0

    async def _next(self) -> str:
        """Make the current bridge; one whose subnet somebody else has is stepped over."""
        while True:
            try:
                return await self._ensure(self._index)
            except SubnetTaken:
                self._index += 1

    async def _ensure(self, index: int) -> str:
        settings = self._settings
        pool = ipaddress.IPv4Network(settings.shared_subnets)
        size = 2 ** (32 - PREFIX)
        if index * size >= pool.num_addresses:
            self.forget()
            raise NetworkExhausted(0, f"all shared bridges of {pool} are full")
        subnet = ipaddress.IPv4Network((int(pool.network_address) + index * size, PREFIX))
        return await networks.ensure_shared_network(
            self._engine, settings.installation, settings.node_name, index, subnet
        )
