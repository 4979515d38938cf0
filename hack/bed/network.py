"""The links of a bed: a bridge on this machine, and a network namespace with an address per node.

A node's Docker engine lives in its namespace, so that its bridges and its firewall rules touch
nothing of the machine's own and vanish with it. Needs root and iproute2.
"""

import ipaddress
import json
from pathlib import Path

from pydantic import BaseModel

from hack.bed.errors import BedError, ProgramFailed
from hack.bed.processes import run

# Private, rarely used, and one /24 a bed. A bed takes the first that nothing routes to.
SUBNETS = [ipaddress.IPv4Network(f"10.209.{number}.0/24") for number in range(256)]


class NetworkState(BaseModel):
    """The bridge of a bed; its number tells beds apart and names all links."""

    number: int

    @property
    def bridge(self) -> str:
        """The name of the bridge on this machine."""
        return f"ccbed{self.number}"

    @property
    def subnet(self) -> ipaddress.IPv4Network:
        """The addresses of the bed."""
        return SUBNETS[self.number]

    @property
    def address(self) -> str:
        """This machine's own address on the bridge."""
        return str(self.subnet[1])

    def node_address(self, node: int) -> str:
        """The address of a node, counted from 1."""
        return str(self.subnet[10 + node])

    def namespace(self, node: int) -> str:
        """The name of a node's network namespace."""
        return f"{self.bridge}-node-{node}"

    def link(self, node: int) -> str:
        """The name of this machine's end of a node's link."""
        return f"{self.bridge}n{node}"


def claim_network(owner: Path) -> NetworkState:
    """Make a bridge for a subnet that is not in use. Raises BedError when none can be made.

    Making the bridge is what claims the number: the kernel lets only one of two callers have it.
    The bed's folder, `owner`, is written on it: a number is used again once a bridge has gone.
    """
    used = _routed_subnets()
    for number, subnet in enumerate(SUBNETS):
        if any(subnet.overlaps(other) for other in used):
            continue
        state = NetworkState(number=number)
        done = run("ip", "link", "add", state.bridge, "type", "bridge", check=False)
        if done.returncode != 0:
            if "File exists" in done.stderr:
                continue
            raise BedError(
                f"cannot make a network bridge: {done.stderr.strip()}; "
                "run as root, with the right to administer the network"
            )
        run("ip", "link", "set", state.bridge, "alias", owner)
        return state
    raise BedError("no subnet of 10.209.0.0/16 is free; `hack/dev down --all` removes old beds")


def is_owned(state: NetworkState, owner: Path) -> bool:
    """Whether the bridge of this number is there and belongs to the bed in this folder."""
    alias = Path(f"/sys/class/net/{state.bridge}/ifalias")
    try:
        return alias.read_text().rstrip("\n") == str(owner)
    except OSError:
        return False


def start_network(state: NetworkState) -> None:
    """Give the bridge its address and take it up."""
    address = f"{state.address}/{state.subnet.prefixlen}"
    run("ip", "addr", "add", address, "dev", state.bridge)
    run("ip", "link", "set", state.bridge, "up")


def add_node(state: NetworkState, node: int) -> None:
    """Make the network namespace of a node and link it to the bridge."""
    namespace, link = state.namespace(node), state.link(node)
    run("ip", "netns", "add", namespace)
    run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace)
    run("ip", "link", "set", link, "master", state.bridge, "up")
    address = f"{state.node_address(node)}/{state.subnet.prefixlen}"
    for words in (
        ("addr", "add", address, "dev", "eth0"),
        ("link", "set", "lo", "up"),
        ("link", "set", "eth0", "up"),
        ("route", "add", "default", "via", state.address),
    ):
        run("ip", "-n", namespace, *words)


def set_link(state: NetworkState, node: int, *, up: bool) -> None:
    """Cut a node off from everything outside its namespace, or join it again."""
    run("ip", "link", "set", state.link(node), "up" if up else "down")


def remove_node(state: NetworkState, node: int) -> None:
    """Remove a node's link and namespace. Safe to call again."""
    _remove("ip", "link", "del", state.link(node))
    _remove("ip", "netns", "del", state.namespace(node))


def remove_network(state: NetworkState) -> None:
    """Remove the bridge. Safe to call again."""
    _remove("ip", "link", "del", state.bridge)


def namespace_exists(name: str) -> bool:
    """Whether there is a network namespace of this name."""
    return Path(f"/run/netns/{name}").exists()


def _remove(*command: str) -> None:
    done = run(*command, check=False)
    absent = ("Cannot find device", "No such file or directory")
    if done.returncode != 0 and not any(words in done.stderr for words in absent):
        raise ProgramFailed(" ".join(command), done.returncode, done.stderr)


def _routed_subnets() -> list[ipaddress.IPv4Network]:
    listed = json.loads(run("ip", "-json", "-4", "route", "show", "table", "all").stdout or "[]")
    routes = [route["dst"] for route in listed if route["dst"] != "default"]
    return [ipaddress.IPv4Network(route, strict=False) for route in routes]
