"""Things put on a node by hand: such as a crash leaves behind, and such as are not ours at all."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from uuid import uuid4

import docker
from docker import types

from controller.ledger import Ledger
from controller.runtime import labels
from controller.runtime.labels import Owner
from tests.integration.world import World


@dataclass(frozen=True)
class Things:
    """What is on the engine, by name."""

    containers: set[str]
    networks: set[str]
    volumes: set[str]


@contextmanager
def ledger(world: World) -> Iterator[Ledger]:
    """The node's ledger, to be written beside the agent or while that is down."""
    with Ledger.open(world.state_dir / "ledger.db", None, wal=None) as opened:
        yield opened


def owner(installation: str, node: str, uid: str | None = None) -> Owner:
    """An instance that no API server knows."""
    return Owner(installation, node, uid or str(uuid4()), "nowhere", "nobody", "0" * 16)


def of_an_instance(
    client: docker.APIClient, image: str, whose: Owner, *, network: str = "bridge"
) -> str:
    """A container that runs, with all labels and the name of an instance's; returns its name."""
    name = labels.container_name(whose.uid, "echo")
    config = client.create_host_config(network_mode=network)
    made = client.create_container(
        image, name=name, labels=whose.labels("echo"), host_config=config
    )
    client.start(made["Id"])
    return name


def own_network(client: docker.APIClient, whose: Owner, subnet: str) -> str:
    """A network such as an instance of several containers has; returns its name."""
    name = labels.own_network_name(whose.installation, IPv4Network(subnet))
    marks = {
        labels.INSTALLATION: whose.installation,
        labels.NODE: whose.node,
        labels.NETWORK_KIND: labels.KIND_INSTANCE,
        labels.NETWORK_EGRESS: labels.EGRESS_NONE,
    }
    pools = types.IPAMConfig(pool_configs=[types.IPAMPool(subnet=subnet)])
    client.create_network(name, driver="bridge", labels=marks, ipam=pools)
    return name


def volume(client: docker.APIClient, whose: Owner) -> str:
    """A volume such as an emptyDir in memory is; returns its name."""
    name = labels.volume_name(whose.uid, "data")
    client.create_volume(name, labels=whose.labels())
    return name


def folder(world: World, whose: Owner) -> str:
    """A folder such as an instance with a flag has; returns its name."""
    path = world.state_dir / "instances" / whose.uid
    path.mkdir(parents=True, mode=0o700)
    (path / "owner.json").write_text(json.dumps({"namespace": "nowhere", "name": "nobody"}))
    (path / "identity").mkdir()
    return path.name


def row(world: World, uid: str, *, now: int = 1) -> int:
    """A row with two ports and a launch that began in 1970; returns one of them."""
    with ledger(world) as book:
        held = book.reserve(uid, ("http", "nc"), namespace="nowhere", name="nobody", now=now)
        book.begin_attempt(uid, now=now)
    return held["nc"]


def foreign(client: docker.APIClient, image: str, installation: str, node: str) -> Things:
    """What is another installation's or node's, and what is named like ours and has no label."""
    config = client.create_host_config(network_mode="bridge")
    plain = f"chal-{uuid4()}-echo"
    client.start(client.create_container(image, name=plain, host_config=config)["Id"])
    client.create_network(f"{plain}-net", driver="bridge")
    client.create_volume(f"{plain}-vol")
    other, elsewhere = owner("another-installation", node), owner(installation, "another-node")
    return Things(
        {plain, *(of_an_instance(client, image, each) for each in (other, elsewhere))},
        {
            f"{plain}-net",
            own_network(client, other, "10.219.0.0/27"),
            own_network(client, elsewhere, "10.219.1.0/27"),
        },
        {f"{plain}-vol", *(volume(client, each) for each in (other, elsewhere))},
    )


@contextmanager
def of_somebody(world: World, image: str, port: int) -> Iterator[None]:
    """A container that is none of ours, and has a port of the node."""
    with world.docker() as client:
        published = client.create_host_config(port_bindings={9000: port})
        made = client.create_container(image, ports=[9000], host_config=published)["Id"]
        try:
            client.start(made)
            yield
        finally:
            client.remove_container(made, force=True)


def remove(client: docker.APIClient, things: Things) -> None:
    """Take them away again."""
    for name in things.containers:
        client.remove_container(name, force=True, v=True)
    for name in things.networks:
        client.remove_network(name)
    for name in things.volumes:
        client.remove_volume(name)


def there(client: docker.APIClient) -> Things:
    """All that the engine has, but for its own networks."""
    found = {c["Names"][0].lstrip("/") for c in client.containers(all=True)}
    networks = {n["Name"] for n in client.networks()}
    return Things(found, networks, {v["Name"] for v in client.volumes()["Volumes"] or []})
