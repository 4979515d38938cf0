"""Which network an instance's containers are put on.

Single containers share bridges on which no container reaches another; an instance of several, or
one that may send raw packets, gets a small network of its own. Knows nothing of ports.
"""

from ipaddress import IPv4Network

from controller.reconcile import freesubnet
from controller.reconcile.isolation import wants_net_raw
from controller.reconcile.work import Work
from controller.runtime import networks
from controller.runtime.errors import EngineError, SubnetTaken


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
    own = work.services.own_networks

    async def take(subnet: IPv4Network) -> str:
        try:
            return await own.take(work.owner, subnet, egress)
        except SubnetTaken:
            own.lost(work.uid)
            raise

    return await freesubnet.with_free(work.services, work.uid, take, own.preferred(egress))


def shares_bridge(work: Work) -> bool:
    """Whether the instance needs no network of its own."""
    containers = work.template.containers
    return len(containers) == 1 and not wants_net_raw(containers[0])
