"""Which network an instance's containers are put on.

Single containers share bridges on which no container reaches another; an instance of several, or
one that may send raw packets, gets a small network of its own. Knows nothing of ports.
"""

from controller.ledger import Ledger
from controller.reconcile.clock import milliseconds
from controller.reconcile.isolation import wants_net_raw
from controller.reconcile.ownnetworks import PREFIX
from controller.reconcile.work import Work
from controller.runtime import networks
from controller.runtime.errors import EngineError


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
    services = work.services
    subnet = await services.book(
        Ledger.allocate_subnet,
        work.uid,
        pool=services.own_networks.pool,
        prefix=PREFIX,
        now=milliseconds(services.clock.now()),
        prefer=services.own_networks.preferred(egress),
    )
    return await services.own_networks.take(work.owner, subnet, egress)


def shares_bridge(work: Work) -> bool:
    """Whether the instance needs no network of its own."""
    containers = work.template.containers
    return len(containers) == 1 and not wants_net_raw(containers[0])
