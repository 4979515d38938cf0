"""A subnet of the node's range that the engine can make a network of.

The ledger says which are free of our own. What else is on the engine, another installation's
networks above all, it does not know: a subnet that overlaps one of these is left out.
"""

from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Network
from typing import TypeVar

from controller.ledger import Ledger
from controller.reconcile.clock import milliseconds
from controller.reconcile.ownnetworks import PREFIX
from controller.reconcile.services import Services
from controller.runtime import networks
from controller.runtime.errors import NetworkExhausted, SubnetTaken

T = TypeVar("T")


async def with_free(
    services: Services,
    owner: str,
    make: Callable[[IPv4Network], Awaitable[T]],
    prefer: Sequence[IPv4Network] = (),
) -> T:
    """What ``make`` gives for a subnet that the ledger now holds for the owner.

    ``make`` raises SubnetTaken when the engine has a part of it already: then another one is tried.
    Raises NetworkExhausted, SubnetsExhausted, RuntimeFault, LedgerError, and what ``make`` raises.
    """
    pool = services.own_networks.pool
    others: list[IPv4Network] = []
    for _ in range(pool.num_addresses >> (32 - PREFIX)):
        now = milliseconds(services.clock.now())
        subnet = await services.book(
            Ledger.allocate_subnet, owner, pool=pool, prefix=PREFIX, now=now, prefer=prefer
        )
        if not any(subnet.overlaps(other) for other in others):
            try:
                return await make(subnet)
            except SubnetTaken as taken:
                found = await networks.all_subnets(services.engine)
                others = [other for other in found if other.overlaps(pool)]
                if not others:
                    raise taken
        # The next one given out is one that comes after it.
        await services.book(Ledger.free_subnet, owner, now=now)
    raise NetworkExhausted(
        0,
        f"networks of others on this engine have all of {pool} that is free: give this "
        "installation a range of its own (CHALLENGE_INSTANCE_SUBNETS)",
    )
