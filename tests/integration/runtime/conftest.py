"""An engine to test the runtime on, with an image that has a shell and one that serves.

The image with the shell is made of this machine's own programs, so that it needs no registry.
"""

import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Network

import docker
import pytest

from controller.runtime import containers, networks
from controller.runtime.containers import ContainerPlan
from controller.runtime.engine import Engine
from controller.runtime.labels import Owner
from hack.bed.bed import Bed
from hack.bed.engine import Engine as BedEngine
from hack.bed.engine import docker_client
from tests.integration.runtime.support import (
    ForeignListener,
    Inside,
    new_owner,
    shell_archive,
)

SHELL_IMAGE = "runtime-shell:test"
# Apart from those that a controller would use on the same engine.
SUBNETS = IPv4Network("10.219.0.0/16").subnets(new_prefix=28)


@pytest.fixture(scope="session")
def shell_image(bed: Bed) -> str:
    """An image with bash and a few programs, and a volume of its own at /data."""
    repository, _, tag = SHELL_IMAGE.partition(":")
    with docker_client(bed.docker_host) as client:
        client.import_image_from_data(
            shell_archive(),
            repository=repository,
            tag=tag,
            changes=["VOLUME /data", 'CMD ["bash"]'],
        )
    return SHELL_IMAGE


@pytest.fixture
def bed_engine(bed: Bed) -> BedEngine:
    """The engine as a process that can be frozen and killed."""
    return bed.engine()


@pytest.fixture
def bed_cgroup(bed: Bed) -> str:
    """The cgroup below which the engine's containers belong, to be removed with the bed."""
    return f"/{bed.engine().state.namespace or 'runtime-test'}"


@pytest.fixture
def api(bed: Bed) -> Iterator[docker.APIClient]:
    """The engine without the runtime, to see what is really there."""
    with docker_client(bed.docker_host) as client:
        yield client


@pytest.fixture
def installation() -> str:
    """An installation of the test's own."""
    return f"it-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def engine(bed: Bed, installation: str) -> AsyncIterator[Engine]:
    """The runtime's door to the engine; what the test left behind is removed."""
    made = Engine(bed.docker_host, timeout=30.0)
    yield made
    for container in await containers.list_containers(made, installation=installation):
        await containers.remove(made, container.id, stop_timeout=0)
    for network in await networks.list_networks(made, installation=installation):
        await networks.remove_network(made, network.name)
    await made.close()


@pytest.fixture
def owner(installation: str) -> Owner:
    """An instance."""
    return new_owner(installation)


@pytest.fixture
def subnet() -> IPv4Network:
    """A subnet that no other test takes."""
    return next(SUBNETS)


@pytest.fixture
async def network(engine: Engine, owner: Owner, subnet: IPv4Network) -> str:
    """The instance's own network."""
    return await networks.ensure_own_network(engine, owner, subnet)


@pytest.fixture
def shell(shell_image: str) -> ContainerPlan:
    """A container that stays up and does nothing."""
    return ContainerPlan(name="shell", image=shell_image, args=("sleep", "600"))


@pytest.fixture
def echo(echo_image: str) -> ContainerPlan:
    """A container that serves HTTP on 8080 and a line on 9000."""
    return ContainerPlan(name="echo", image=echo_image)


_LISTEN = """
import socket, sys
kind = socket.SOCK_STREAM if sys.argv[1] == "tcp" else socket.SOCK_DGRAM
bound = socket.socket(socket.AF_INET, kind)
bound.bind(("0.0.0.0", int(sys.argv[2])))
if sys.argv[1] == "tcp":
    bound.listen()
print("listening", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def foreign_listener(bed: Bed) -> Iterator[ForeignListener]:
    """`foreign_listener("tcp", 80)`: a program on the engine's machine that holds the port."""
    started: list[subprocess.Popen[str]] = []
    namespace = bed.engine().state.namespace
    enter = ["nsenter", f"--net=/run/netns/{namespace}"] if namespace else []

    def listen(protocol: str, port: int) -> None:
        process = subprocess.Popen(
            [*enter, sys.executable, "-c", _LISTEN, protocol, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"

    yield listen
    for process in started:
        process.communicate()


@pytest.fixture
def inside(api: docker.APIClient) -> Inside:
    """`inside(container, script)`: what a shell in the container prints; its errors too."""

    def run(container: str, script: str) -> str:
        made = api.exec_create(container, ["bash", "-c", script])
        said: bytes = api.exec_start(made["Id"])
        return said.decode().strip()

    return run
