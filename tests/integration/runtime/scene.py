"""Instances of every kind on one engine with the firewall in force, and a world around them.

Made once for all tests by packets: what each kind of container reaches is tried from inside.
"""

import asyncio
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

import docker

from controller.runtime import containers, labels, networks
from controller.runtime.containers import ContainerPlan, PortBinding
from controller.runtime.engine import Engine
from controller.runtime.labels import EGRESS_INTERNET, EGRESS_NONE, Owner
from hack.bed.bed import Bed
from hack.bed.cache import REPOSITORY
from hack.bed.engine import docker_client
from hack.bed.processes import run
from tests.integration.runtime.outside import answering, machine
from tests.integration.runtime.support import NODE, new_owner

RESOLVER, REFUSED = "1.1.1.1", "8.8.4.4"
ADDRESSES = (
    *("8.8.8.8", RESOLVER, REFUSED, "169.254.169.254", "168.63.129.16", "10.99.0.1", "172.16.5.5"),
    *("192.168.77.1", "100.64.0.1", "198.18.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1"),
    "192.0.0.192",
)
OUTSIDE_PORT, HOST_PORT = 7000, 7001
TRIES = 20
SUBNETS = IPv4Network("10.218.0.0/16").subnets(new_prefix=28)

# Each attempt has its own process and a time limit, and all go on at once.
_ATTEMPTS = """
attempt() {{
  if [ $2 = tcp ]; then timeout 2 bash -c "exec 3<>/dev/tcp/$3/$4"
  else timeout 2 bash -c "exec 3<>/dev/udp/$3/$4 && echo hi >&3 && read -rN 1 <&3"; fi
  [ $? = 0 ] && echo "reached $1"
}}
{}
wait
"""


@dataclass(frozen=True)
class Target:
    """Something to be reached, or not."""

    key: str
    protocol: str
    address: str
    port: int


@dataclass
class Scene:
    """What is there: containers by the word of their kind, their addresses and published ports."""

    bed: Bed
    installation: str
    api: docker.APIClient
    outside: str
    names_log: Path
    owners: dict[str, Owner] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    published: dict[str, int] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """The network namespace of the engine."""
        return str(self.bed.node().engine.namespace)

    def container(self, word: str, name: str = "shell") -> str:
        """The engine's name of a container."""
        if word == "plain":
            return f"{self.installation}-plain"
        return labels.container_name(self.owners[word].uid, name)

    def inside(self, word: str, script: str) -> str:
        """What a script prints that bash runs in a kind's shell container."""
        made = self.api.exec_create(self.container(word), ["bash", "-c", script])
        said: bytes = self.api.exec_start(made["Id"])
        return said.decode().strip()

    def gateway(self, word: str) -> str:
        """The host's address on the network of a kind."""
        network = self.networks[word]
        subnet = self.api.inspect_network(network)["IPAM"]["Config"][0]["Subnet"]
        return str(IPv4Network(subnet)[1])

    def pid(self, word: str, name: str = "shell") -> int:
        """The process of a container, in whose network namespace programs of ours can run."""
        return int(self.api.inspect_container(self.container(word, name))["State"]["Pid"])

    def reached(self, word: str, targets: list[Target], wanted: Collection[str] = ()) -> set[str]:
        """The keys of the targets that a kind reaches; `node` is the host itself.

        Those `wanted` are tried again for a while: an attempt has a time limit, which a machine
        that is busy with more can miss.
        """
        found = self._reached(word, targets)
        for _ in range(TRIES):
            missed = [t for t in targets if t.key in wanted and t.key not in found]
            if not missed:
                break
            found |= self._reached(word, missed)
        return found

    def _reached(self, word: str, targets: list[Target]) -> set[str]:
        lines = [f"attempt {t.key} {t.protocol} {t.address} {t.port} &" for t in targets]
        script = _ATTEMPTS.format("\n".join(lines))
        if word == "node":
            done = run("nsenter", f"--net=/run/netns/{self.namespace}", "bash", "-c", script)
            said = done.stdout
        else:
            said = self.inside(word, script)
        found = [line for line in said.splitlines() if line.startswith("reached ")]
        return {line.removeprefix("reached ") for line in found}

    def firewall(self, *words: str, **settings: str) -> str:
        """`challenge-controller firewall …` on the node; what it printed."""
        return firewall(self.namespace, *words, INSTALLATION=self.installation, **settings)


def firewall(namespace: str, *words: str, **settings: str) -> str:
    """`challenge-controller firewall …` in a network namespace; what it printed."""
    enter = ["nsenter", f"--net=/run/netns/{namespace}"]
    done = subprocess.run(
        [*enter, sys.executable, "-m", "controller", "firewall", *words],
        env={f"CHALLENGE_{key}": value for key, value in settings.items()}
        | {"PYTHONPATH": str(REPOSITORY), "CHALLENGE_RESOLVERS": RESOLVER}
        | {"CHALLENGE_REFUSED_NETWORKS": f"{REFUSED}/32"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def build(bed: Bed, installation: str, shell: str, echo: str, folder: Path) -> Iterator[Scene]:
    """The whole scene; it is gone afterwards."""
    links = bed.state.network
    assert links is not None
    with ExitStack() as stack:
        outside = stack.enter_context(machine(links, 1, ADDRESSES))
        log = folder / "outside.log"
        stack.enter_context(answering(outside, OUTSIDE_PORT, "names", log=log))
        inner = links.namespace(1)
        stack.enter_context(answering(inner, HOST_PORT, log=folder / "host.log"))
        api = stack.enter_context(docker_client(bed.docker_host))
        scene = Scene(bed, installation, api, outside, log)
        scene.firewall("apply")
        stack.callback(scene.firewall, "remove")
        stack.callback(asyncio.run, _clear(bed.docker_host, installation))
        stack.callback(_remove_plain, scene)
        asyncio.run(_fill(scene, shell, echo))
        _plain(scene, shell)
        _wait_for_services(scene)
        yield scene


async def _fill(scene: Scene, shell_image: str, echo_image: str) -> None:
    engine = Engine(scene.bed.docker_host, timeout=30.0)
    shell = ContainerPlan(name="shell", image=shell_image, args=("sleep", "600"))
    port = 21500
    for egress, word in ((EGRESS_NONE, "none"), (EGRESS_INTERNET, "internet")):
        subnet = next(SUBNETS)
        shared = await networks.ensure_shared_network(
            engine, scene.installation, NODE, 0, subnet, egress=egress
        )
        for kind in (word, f"{word}-own"):
            owner = scene.owners[kind] = new_owner(scene.installation)
            neighbour = owner
            network = shared
            if kind.endswith("own"):
                network = await networks.ensure_own_network(
                    engine, owner, next(SUBNETS), egress=egress
                )
            else:
                neighbour = scene.owners[f"{word}-neighbour"] = new_owner(scene.installation)
            scene.networks[kind] = network
            bound = tuple(PortBinding(9000, over, port, "0.0.0.0") for over in ("tcp", "udp"))
            dns = (RESOLVER,) if egress == EGRESS_INTERNET else None
            for whose, plan in (
                (owner, shell),
                (neighbour, ContainerPlan(name="echo", image=echo_image, bindings=bound)),
            ):
                changed = ContainerPlan(**(vars(plan) | {"dns": dns}))
                await containers.launch(engine, whose, changed, network, aliases=[plan.name])
            state = await containers.inspect(engine, labels.container_name(neighbour.uid, "echo"))
            scene.addresses[kind], scene.published[kind] = state.addresses[network], port
            port += 1
    await engine.close()


async def _clear(url: str, installation: str) -> None:
    engine = Engine(url, timeout=30.0)
    for container in await containers.list_containers(engine, installation=installation):
        await containers.remove(engine, container.id, stop_timeout=0)
    for network in await networks.list_networks(engine, installation=installation):
        await networks.remove_network(engine, network.name)
    await engine.close()


def _plain(scene: Scene, image: str) -> None:
    """A container as anybody's on this engine: what it reaches shows that there is a way."""
    name = f"{scene.installation}-plain"
    api = scene.api
    pool = docker.types.IPAMPool(subnet=str(next(SUBNETS)))
    api.create_network(name, driver="bridge", ipam=docker.types.IPAMConfig(pool_configs=[pool]))
    scene.networks["plain"] = name
    host = api.create_host_config(network_mode=name, dns=[RESOLVER])
    made = api.create_container(image, ["sleep", "600"], name=name, host_config=host)
    api.start(made["Id"])


def _wait_for_services(scene: Scene) -> None:
    """The engine has started the programs; that they listen takes a moment more."""
    services = [
        Target(f"{kind}-{over}", over, address, 9000)
        for kind, address in scene.addresses.items()
        for over in ("tcp", "udp")
    ]
    wanted = {service.key for service in services}
    assert scene.reached("node", services, wanted) == wanted


def _remove_plain(scene: Scene) -> None:
    scene.api.remove_container(f"{scene.installation}-plain", force=True, v=True)
    scene.api.remove_network(f"{scene.installation}-plain")
