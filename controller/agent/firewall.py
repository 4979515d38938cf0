"""Keeps the node's firewall in force, and says so where it cannot.

Looked after when the engine is reached (again), and from time to time. An agent that stops leaves
the rules: its containers outlive it.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Final
from urllib.parse import urlsplit

from controller.api import reasons
from controller.reconcile.isolate import RETRY
from controller.reconcile.result import Waiting
from controller.reconcile.services import Services
from controller.runtime import networks
from controller.runtime.firewall import Firewall, FirewallFault
from controller.runtime.rules import Policy
from controller.settings import Settings

logger = logging.getLogger(__name__)

PROBLEM_PERIOD: Final = 5.0
"""Seconds to the next look while something is wrong."""
LOOKUP: Final = 5.0
"""Seconds that the look-up of a name may take."""
NOT_YET: Final = Waiting(reasons.FIREWALL_UNAVAILABLE, "The agent has not set its firewall yet")


def policy(settings: Settings, further: frozenset[IPv4Network] = frozenset()) -> Policy:
    """What the settings ask for; ``further`` networks are refused as well."""
    refused = further.union(IPv4Network(each) for each in settings.refused_networks)
    return Policy(
        installation=settings.installation,
        resolvers=tuple(IPv4Address(each) for each in settings.resolvers),
        refused=tuple(sorted(refused)),
    )


class FirewallKeeper:
    """Keeps ``services.unsafe`` true to the firewall's state."""

    def __init__(
        self,
        services: Services,
        *,
        server: str,
        restored: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        """``server`` is the API server's URL, which instances must not reach.

        ``restored``: what was started before may be (again); ``changed``: the node's status will
        be another one.
        """
        self._services = services
        self._server = server
        self._restored = restored
        self._changed = changed
        self._firewall = Firewall(services.settings.installation)
        self._known: dict[str, frozenset[IPv4Network]] = {}
        self._in_force: Policy | None = None
        self._due = asyncio.Event()

    def soon(self) -> None:
        """Look again at once: an address of the host's is another one."""
        self._due.set()

    async def run(self) -> None:
        """Look after the firewall until cancelled; the first look is with the engine's."""
        while True:
            period = self._services.settings.resync_interval
            with contextlib.suppress(TimeoutError):
                unsafe = self._services.unsafe
                async with asyncio.timeout(min(period, PROBLEM_PERIOD) if unsafe else period):
                    await self._due.wait()
            self._due.clear()
            if not self._services.engine_problem:
                await self.check()

    async def check(self) -> None:
        """Put the rules in force if they are not; what prevents that is noted, not raised."""
        before, now = self._services.unsafe, await self._problem()
        if now == before:
            return
        self._services.unsafe = now
        if now:
            logger.error("No instance is started: %s", now.message)
        elif before and before is not NOT_YET:
            logger.info("Instances are kept apart again")
        self._changed()
        if now is None:
            self._restored()

    async def _problem(self) -> Waiting | None:
        if self._services.settings.firewall == "on":
            try:
                await self._ensure(await self._policy())
            except FirewallFault as fault:
                return Waiting(reasons.FIREWALL_UNAVAILABLE, fault.message, RETRY)
        if networks.bridge_nf_disabled():
            return Waiting(reasons.BRIDGE_FILTER_OFF, networks.BRIDGE_NF_MISSING, RETRY)
        return None

    async def _ensure(self, wanted: Policy) -> None:
        done = await self._firewall.ensure(wanted)
        if done and wanted == self._in_force:
            logger.warning("The firewall's rules were not as they were left: put back")
        self._in_force = wanted

    async def _policy(self) -> Policy:
        hosts = (urlsplit(self._server).hostname or "", self._services.address())
        found = [await self._addresses(host) for host in hosts]
        return policy(self._services.settings, frozenset().union(*found))

    async def _addresses(self, host: str) -> frozenset[IPv4Network]:
        """A host's addresses; those of the last time when there is no answer."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(LOOKUP):
                found = await asyncio.get_running_loop().getaddrinfo(
                    host, None, family=socket.AF_INET, type=socket.SOCK_STREAM
                )
            self._known[host] = frozenset(IPv4Network(address[0]) for *_, address in found)
        return self._known.get(host, frozenset())
