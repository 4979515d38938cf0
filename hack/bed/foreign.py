"""A bed's share of an engine that is not its own: its ports and networks, and what it leaves."""

import contextlib
import os
from pathlib import Path

import docker.errors

from controller.runtime import firewall
from hack.bed.engine import Engine, EngineState, docker_client
from hack.bed.errors import BedError
from hack.bed.network import NetworkState
from hack.bed.state import NodeState, every_bed

INSTALLATION_LABEL = "challenge-controller.io/installation"
BEDS = 10
PORTS = 2000
LOCKS = Path("/run/lock")


def claim_node(engine: EngineState) -> NodeState:
    """This machine as a node, with ports and private networks that no other bed has.

    To be called under the lock `slots`. Raises BedError when all shares are taken.
    """
    taken = {node.ports for bed in every_bed() for node in bed.nodes if not node.engine.owned}
    for share in range(BEDS):
        first = 10000 + PORTS * share
        ports = f"{first}-{first + PORTS - 1}"
        if ports not in taken:
            return NodeState(
                number=1,
                name="node-1",
                address="127.0.0.1",
                engine=engine,
                ports=ports,
                shared_subnets=f"10.{212 + 2 * share}.0.0/18",
                instance_subnets=f"10.{213 + 2 * share}.0.0/16",
            )
    raise BedError(f"{BEDS} beds share this Docker engine already; `hack/dev down` one of them")


def remove_from_node(engine: Engine, installation: str, links: NetworkState | None) -> None:
    """Stop an engine of a bed's own, or take away what the bed has left on another's.

    `links` are the bed's, None when they have gone already.
    """
    if not engine.owned:
        remove_from_engine(engine.url, installation)
        remove_rules(installation)
    engine.stop(has_namespace=links is not None)
    remove_agent_locks(installation, engine)


def remove_agent_locks(installation: str, engine: Engine) -> None:
    """Remove the lock files that agents of a bed have left on this machine."""
    safe = "".join(char if char.isalnum() else "-" for char in engine.state.id)
    # On an engine of our own each agent was ours, whatever installation it was told to be.
    name = "*" if engine.owned else installation
    for lock in LOCKS.glob(f"challenge-controller-{name}-{safe}.lock") if safe else ():
        lock.unlink(missing_ok=True)


def remove_rules(installation: str) -> None:
    """Remove the firewall's rules that an installation's agent has left on this machine."""
    if os.geteuid() == 0:
        with contextlib.suppress(firewall.FirewallFault):
            firewall.remove(installation)


def remove_from_engine(url: str, installation: str) -> None:
    """Remove what an installation's controller has left on an engine that is not ours."""
    filters = {"label": f"{INSTALLATION_LABEL}={installation}"}
    with contextlib.suppress(BedError), docker_client(url) as client:
        for container in client.containers(all=True, filters=filters):
            with contextlib.suppress(docker.errors.NotFound):
                client.remove_container(container["Id"], force=True, v=True)
        for found in client.networks(filters=filters):
            with contextlib.suppress(docker.errors.NotFound):
                client.remove_network(found["Id"])
        for volume in client.volumes(filters=filters)["Volumes"] or []:
            with contextlib.suppress(docker.errors.NotFound):
                client.remove_volume(volume["Name"], force=True)
