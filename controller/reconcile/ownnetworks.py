"""Networks that one instance has to itself, kept for the next one when it goes.

A network takes the engine 90 ms to make and 260 ms to remove (Docker 20.10 on 4 cores), so a few
clean ones are kept. Whose a network is, the ledger says: it belongs to the owner of its
subnet. Which ones are clean and free is remembered here, and read from the engine at each resync;
one that is not known to be clean is given to nobody.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterable, Set
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Final

from controller.ledger import Ledger
from controller.runtime import labels, networks
from controller.runtime.engine import Engine
from controller.runtime.errors import EngineError, NetworkInUse, SubnetTaken
from controller.runtime.labels import Owner
from controller.settings import Settings

logger = logging.getLogger(__name__)

PREFIX: Final = 27
"""29 addresses: 10 containers and some to spare."""
PREFERRED: Final = 8
"""Spare networks that a launch offers the ledger; the first is free unless another launch has just
taken it."""


@dataclass(frozen=True)
class Own:
    """A network by its subnet and what it may reach; its name follows from both."""

    subnet: IPv4Network
    egress: str


class OwnNetworks:
    """The networks of one node that belong to one instance each, and the spare ones."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        """Nothing is known to be there at first."""
        self._engine = engine
        self._settings = settings
        self._pool = IPv4Network(settings.instance_subnets)
        self._spare: OrderedDict[Own, None] = OrderedDict()
        self._held: dict[str, Own] = {}
        self._unmade: set[Own] = set()

    @property
    def pool(self) -> IPv4Network:
        """The range that their subnets are of."""
        return self._pool

    @property
    def spare(self) -> int:
        """How many are kept for the next instances."""
        return len(self._spare)

    @property
    def prepared(self) -> int:
        """How many of them are of the egress that most instances have."""
        return sum(own.egress == labels.EGRESS_NONE for own in self._spare)

    @property
    def _most(self) -> int:
        return max(self._settings.spare_networks, self._settings.prepared_networks)

    def holds(self, uid: str) -> bool:
        """Whether this process has given the instance a network that it has not given back."""
        return uid in self._held

    def preferred(self, egress: str) -> list[IPv4Network]:
        """Subnets whose networks are there, clean and of that egress, the oldest first."""
        found = [own.subnet for own in self._spare if own.egress == egress]
        return found[:PREFERRED]

    async def take(self, owner: Owner, subnet: IPv4Network, egress: str) -> str:
        """The network of a subnet that the ledger has given the owner; made if it is not there.

        Raises NetworkExhausted, RuntimeFault.
        """
        own = Own(subnet, egress)
        if self._held.get(owner.uid) != own or own in self._unmade:
            known = own in self._spare
            self._spare.pop(own, None)
            # Before it is made: what the engine makes is from then on somebody's.
            self._held[owner.uid] = own
            if not known:
                self._unmade.add(own)
                await self._make(owner, own)
                self._unmade.discard(own)
        return self._name(own)

    async def prepare(self, owner: Owner, subnet: IPv4Network) -> bool:
        """Make a spare one of a subnet that the ledger holds for the owner, who is no instance.

        Whether it is there now and was not before. Raises NetworkExhausted, RuntimeFault.
        """
        own = Own(subnet, labels.EGRESS_NONE)
        if own in self._spare:
            return False
        await self._make(owner, own)
        self._spare[own] = None
        return True

    async def give_back(self, uid: str) -> None:
        """The instance has no container left: keep its network for another one, or remove it.

        One that another process has made is left to the next resync, as is one that stays in use:
        the engine counts something that it does not show, and may do so until it is restarted.
        Raises RuntimeFault.
        """
        own = self._held.get(uid)
        if own is None:
            return
        if own in self._unmade or len(self._spare) >= self._most:
            try:
                await self.remove(uid)
            except NetworkInUse as refused:
                logger.warning("A network is left to the next resync: %s", refused.message)
                self.lost(uid)
        else:
            del self._held[uid]
            self._spare[own] = None

    async def remove(self, uid: str) -> None:
        """Remove the instance's network, for which something may be wrong. Raises RuntimeFault."""
        own = self._held.get(uid)
        if own is not None:
            await networks.remove_network(self._engine, self._name(own))
            self.lost(uid)

    def lost(self, uid: str) -> None:
        """The instance's network is gone, or not to be believed in."""
        own = self._held.pop(uid, None)
        if own is not None:
            self._unmade.discard(own)

    def name_of(self, uid: str) -> str | None:
        """The name of the network that this process has given the instance, if any."""
        own = self._held.get(uid)
        return None if own is None else self._name(own)

    def forget(self) -> None:
        """Believe nothing any more: the engine was away, or has said that a network is gone."""
        self._spare.clear()
        self._held.clear()
        self._unmade.clear()

    async def collect(
        self,
        ledger_owners: dict[IPv4Network, str],
        *,
        keep: bool = True,
        used: Set[str] = frozenset(),
    ) -> list[str]:
        """Find the networks whose subnets nobody owns: keep the clean ones, remove the others.

        ``ledger_owners`` are the owners by subnet, read after the last launch had begun. With
        ``keep`` false all of them go, but never one of those ``used``. Returns the names of those
        that it removed; one that the engine refuses to remove is logged, and tried again the next
        time. Raises EngineUnavailable, OutcomeUnknown.
        """
        removed = []
        there = await self._there()
        for own in [own for own in self._spare if own not in there]:
            del self._spare[own]
        for own, name in there.items():
            if own.subnet in ledger_owners or own in self._held.values():
                self._spare.pop(own, None)
            elif name in used:
                self._spare.pop(own, None)  # it goes after what is on it
            elif own not in self._spare or not keep:
                try:
                    removed += [name] if await self._end(own, name, keep=keep) else []
                except EngineError as refused:
                    logger.warning("A network that nobody owns is left: %s", refused.message)
        return removed

    async def remove_left(self, subnets: Iterable[IPv4Network], on: Set[str]) -> int:
        """Remove the networks that an earlier process had made for an instance.

        ``subnets`` are the instance's own, ``on`` the networks that its containers were on; one
        that a container is on stays. Returns how many there were. Raises RuntimeFault.
        """
        mine, removed = set(subnets), 0
        if not (mine or on):
            return 0
        for own, name in (await self._there()).items():
            is_his = own.subnet in mine or name in on
            if is_his and own not in self._spare and own not in self._held.values():
                removed += await networks.remove_unused(self._engine, name)
        return removed

    async def _end(self, own: Own, name: str, *, keep: bool) -> bool:
        """Keep the network as a spare one, or remove it; whether it was removed."""
        wanted = len(self._spare) < self._most and own.subnet.subnet_of(self._pool)
        self._spare.pop(own, None)
        clean = keep and wanted and await networks.is_clean(self._engine, name)
        if own in self._held.values():
            return False  # taken meanwhile
        if clean:
            self._spare[own] = None
            return False
        # Whoever is on it is not cut off: it may be given to an instance at this very moment.
        return await networks.remove_unused(self._engine, name)

    async def _make(self, owner: Owner, own: Own) -> None:
        other = next((o for o in self._spare if o.subnet == own.subnet), None)
        if other is not None:  # the same subnet with another egress
            del self._spare[other]
            await networks.remove_network(self._engine, self._name(other))
        try:
            await self._ensure(owner, own)
        except SubnetTaken:
            if not await self._clear(own.subnet):
                raise
            await self._ensure(owner, own)

    async def _ensure(self, owner: Owner, own: Own) -> None:
        await networks.ensure_own_network(self._engine, owner, own.subnet, egress=own.egress)

    async def _clear(self, subnet: IPv4Network) -> bool:
        """Remove our own networks that have a part of a subnet whose owner has none of them.

        Whether that made room: one that stays in use has the subnet.
        """
        found = await self._there()
        overlapping = [name for own, name in found.items() if own.subnet.overlaps(subnet)]
        try:
            for name in overlapping:
                await networks.remove_network(self._engine, name)
        except NetworkInUse:
            return False
        return bool(overlapping)

    async def _there(self) -> dict[Own, str]:
        """The names of all networks of one instance each, as the engine has them."""
        settings = self._settings
        found = await networks.list_networks(
            self._engine, installation=settings.installation, node=settings.node_name
        )
        return {
            Own(each.subnet, each.egress): each.name
            for each in found
            if each.kind == labels.KIND_INSTANCE and each.subnet is not None
        }

    def _name(self, own: Own) -> str:
        return labels.own_network_name(self._settings.installation, own.subnet, own.egress)


def owners(ledger: Ledger, pool: IPv4Network | None = None) -> dict[IPv4Network, str]:
    """The owners of the pool's subnets, or of all, as the ledger has them. Blocks."""
    return {held.subnet: held.owner for held in ledger.subnets() if pool in (None, held.pool)}
