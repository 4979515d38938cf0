"""Which network an instance's containers are put on.

Single containers share bridges on which no container reaches another; an instance of several, or
one that may send raw packets, gets a small network of its own. Knows nothing of ports.
"""

import ipaddress
from typing import Final

from controller.ledger import Ledger
from controller.reconcile.clock import milliseconds
from controller.reconcile.isolation import wants_net_raw
from controller.reconcile.services import Services
from controller.reconcile.work import Work
from controller.runtime import networks
from controller.runtime.errors import EngineError

INSTANCE_PREFIX: Final = 27
"""29 addresses: 10 containers and some to spare."""


async def network(work: Work) -> str:
    """The network for a launch of the instance; made if it is not there.

    Raises NetworkExhausted, SubnetsExhausted, RuntimeFault.
    """
    egress = work.template.network.egress
    if shares_bridge(work):
        name = await work.services.bridges.place(work.uid, egress)
        # Looked at now: the engine sees to it when it makes the first such bridge.
        if not networks.bridge_nf_enabled():
            raise EngineError(0, networks.BRIDGE_NF_MISSING)
        return name
    subnet = await _subnet(work.services, work.uid, work.services.settings.instance_subnets)
    return await networks.ensure_instance_network(
        work.services.engine, work.owner, subnet, egress=egress
    )


def shares_bridge(work: Work) -> bool:
    """Whether the instance needs no network of its own."""
    containers = work.template.containers
    return len(containers) == 1 and not wants_net_raw(containers[0])


async def _subnet(services: Services, uid: str, pool: str) -> ipaddress.IPv4Network:
    return await services.book(
        Ledger.allocate_subnet,
        uid,
        pool=ipaddress.IPv4Network(pool),
        prefix=INSTANCE_PREFIX,
        now=milliseconds(services.clock.now()),
    )
