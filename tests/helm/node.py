"""What installations have on the bed's node: in its engine, its firewall, its folders."""

from controller.runtime import labels, rules
from hack.bed.bed import Bed
from hack.bed.engine import docker_client
from hack.bed.inventory import run_beside

ENGINES_OWN = {"bridge", "host", "none"}


def things(bed: Bed, installation: str | None = None) -> set[str]:
    """The ids of containers, networks and volumes, all of them or those of one installation."""
    mark = {"label": f"{labels.INSTALLATION}={installation}"} if installation else None
    with docker_client(bed.docker_host) as client:
        networks = client.networks(filters=mark)
        return {
            *(f"container {each['Id']}" for each in client.containers(all=True, filters=mark)),
            *(f"network {n['Name']} {n['Id']}" for n in networks if n["Name"] not in ENGINES_OWN),
            *(f"volume {v['Name']}" for v in client.volumes(filters=mark)["Volumes"] or []),
        }


def firewall(bed: Bed, installation: str | None = None) -> list[str]:
    """The lines of the firewall that are of any installation, or of one."""
    namespace = bed.node().engine.namespace
    lines = [
        line
        for name in ("iptables-save", "ip6tables-save")
        for line in run_beside(namespace, name).splitlines()
    ]
    if installation is None:
        return [line for line in lines if "chal" in line.lower()]
    chains = set(rules.names(installation).values())
    return [line for line in lines if chains & set(line.replace(":", " ").split())]
