"""Two parts of the ledger's public door: the warm slots and the subnets.

Responsible, like the rest of the door, for one transaction a call; see `ledger`.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network

from controller.ledger import instances, ports, slots, subnets
from controller.ledger.errors import LedgerConflict
from controller.ledger.names import distinct, same_ports
from controller.ledger.reader import LedgerReader


class SlotDoor(LedgerReader):
    """Adding, claiming and dropping warm slots."""

    def add_slot(
        self,
        slot: str,
        names: Iterable[str],
        *,
        namespace: str,
        challenge: str,
        template: str,
        now: int,
    ) -> dict[str, int]:
        """Add a warm slot with a host port for each name: all or none; idempotent like `reserve`.

        `template` is the hash of what the slot was launched from. Raises PortsExhausted,
        LedgerConflict and ValueError as `reserve` does.
        """
        wanted = distinct(names)
        with self._connection.write as db:
            added = slots.insert(
                db,
                slot,
                namespace=namespace,
                challenge=challenge,
                template=template,
                port_count=len(wanted),
                now=now,
            )
            if not added:
                if slots.is_claimed(db, slot):
                    raise LedgerConflict(f"slot {slot} is claimed: it cannot be added again")
                return same_ports(wanted, ports.held_by_slot(db, slot), f"slot {slot}")
            return ports.take(db, wanted, holder="slot", of=slot, now=now)

    def claim_slot(
        self,
        slot: str,
        uid: str,
        *,
        namespace: str,
        name: str,
        challenge: str | None = None,
        now: int,
    ) -> dict[str, int]:
        """Give a warm slot and its ports to the instance, which gets its row: once and for all.

        The same claim again gives the same ports. Raises LedgerConflict when there is no such slot,
        another instance has it, or the uid has a row without it.
        """
        with self._connection.write as db:
            held = slots.get(db, slot)
            if held is not None and held.instance == uid:
                return ports.held_by_instance(db, uid)
            number = instances.insert(
                db,
                uid,
                namespace=namespace,
                name=name,
                challenge=challenge,
                port_count=0 if held is None else len(held.ports),
                now=now,
            )
            if number is None:
                raise LedgerConflict(f"instance {uid} has a row already: it cannot claim {slot}")
            slots.claim(db, slot, uid, number=number, now=now)
            return ports.held_by_instance(db, uid)

    def drop_slot(self, slot: str, *, now: int) -> None:
        """Drop a slot and free its ports; those claimed with it stay with their instance.

        For an unknown slot nothing happens.
        """
        with self._connection.write as db:
            ports.give_back_slot(db, slot)
            slots.delete(db, slot)

    def drop_warm_slots(self, *, keep: Iterable[str], now: int) -> set[str]:
        """Drop the unclaimed slots but for those of these names; the ones that it dropped."""
        keep = list(keep)
        with self._connection.write as db:
            left = slots.unclaimed(db) - set(keep)
            for slot in left:
                ports.give_back_slot(db, slot)
                slots.delete(db, slot)
            return left


class SubnetDoor(LedgerReader):
    """Allocating, adopting and freeing subnets."""

    def allocate_subnet(
        self,
        uid: str,
        *,
        pool: IPv4Network,
        prefix: int,
        now: int,
        prefer: Sequence[IPv4Network] = (),
    ) -> IPv4Network:
        """A free subnet of the pool with that prefix length, the same again for the same owner.

        `uid` is an instance's, or a name of the caller's for a network without an instance. The
        first of `prefer` that is free is taken before any other, else one just freed comes last.
        Raises SubnetsExhausted, LedgerConflict when the owner has one
        of another length, and ValueError for a length that the pool cannot hold.
        """
        with self._connection.write as db:
            return subnets.allocate(db, uid, pool=pool, prefix=prefix, now=now, prefer=prefer)

    def adopt_subnet(self, uid: str, *, pool: IPv4Network, subnet: IPv4Network, now: int) -> None:
        """Record a subnet that a network of this owner has already.

        Raises LedgerConflict when another owner has it or a part of it.
        """
        with self._connection.write as db:
            subnets.adopt(db, uid, pool=pool, subnet=subnet, now=now)

    def free_subnet(self, uid: str, *, now: int) -> None:
        """Free all subnets of the owner; for an unknown one nothing happens."""
        with self._connection.write as db:
            subnets.free(db, uid)

    def free_ownerless_subnets(self, *, keep: Iterable[str], now: int) -> set[str]:
        """Free the subnets of owners that have no row, but for `keep`; whose they were."""
        keep = list(keep)
        with self._connection.write as db:
            return subnets.free_ownerless(db, keep=keep)
