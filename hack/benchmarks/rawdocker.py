"""Raw Docker: the same networks, containers and removals from a bare thread pool.

The containers have the very configuration that the controller gives them, so that the engine has
the same work; what differs is who asks for it. No API server, no ledger, no probes, no status.
"""

import dataclasses
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from itertools import count

import docker
from docker import types

from controller.runtime.labels import Owner
from controller.runtime.plan import ContainerPlan, PortBinding, configuration
from controller.runtime.seccomp import Profiles
from hack.benchmarks.firstbyte import first_byte

LABEL = "challenge-controller.io/bench"
SUBNETS = IPv4Network("10.220.0.0/14")
SHARED = IPv4Network("10.224.0.0/20")
CPU_NANO, MEMORY, PIDS = 10**9, 512 * 2**20, 256
"""The controller's defaults for a template that names no limits."""
TIMEOUT = 600.0


@dataclass
class Launched:
    """One instance of raw Docker: what must be removed again, and its host port."""

    number: int
    port: int
    containers: list[str] = field(default_factory=list)
    network: str | None = None


class RawDocker:
    """Launches and removes with `workers` threads, each with a client of its own."""

    def __init__(self, url: str, image: str, host: str, workers: int, *, first_port: int) -> None:
        """`host` is where the engine publishes ports; they are taken from `first_port` on."""
        self._url, self._host = url, host
        self.plan = ContainerPlan(
            name="c",
            image=image,
            cpu_nano=CPU_NANO,
            memory=MEMORY,
            pids=PIDS,
            cap_drop=("NET_RAW",),
            seccomp=Profiles().challenge_default(),
        )
        """What each container is like, but for its name and its port."""
        self._pool = ThreadPoolExecutor(workers)
        self._lookers = ThreadPoolExecutor(64)
        self._local = threading.local()
        self._clients: list[docker.APIClient] = []
        self._numbers, self._ports = count(), count(first_port)
        self._subnets = SUBNETS.subnets(new_prefix=27)
        self._shared: str | None = None

    def close(self) -> None:
        """End the threads and remove the shared bridge, if there is one."""
        self._pool.shutdown()
        self._lookers.shutdown()
        if self._shared:
            self._client().remove_network(self._shared)
        for client in self._clients:
            client.close()

    def share_bridge(self) -> None:
        """Put what is launched from now on one ICC-off bridge."""
        self._shared = self._network("bench-shared", SHARED, icc=False)

    def launch(
        self, instances: int, containers: int, remove: Sequence[Launched] = ()
    ) -> tuple[list[Launched], list[float], float]:
        """Launch that many at once; every fourth task is a removal as long as there are any.

        Returns them, the seconds from the start to each one's first byte, and the seconds to the
        last one's.
        """
        started = time.perf_counter()
        left = list(remove)
        launches: list[Future[Launched]] = []
        removals: list[Future[None]] = []
        bytes_seen: list[Future[float]] = []

        def look(done: Future[Launched]) -> None:
            if not done.exception():
                deadline = started + TIMEOUT
                port = done.result().port
                seen = self._lookers.submit(first_byte, self._host, port, deadline=deadline)
                bytes_seen.append(seen)

        for number in range(instances):
            task = self._pool.submit(self._launch, containers)
            launches.append(task)
            task.add_done_callback(look)
            if number % 3 == 2 and left:
                removals.append(self._pool.submit(self._remove, left.pop()))
        removals += [self._pool.submit(self._remove, gone) for gone in left]
        made = [task.result() for task in launches]
        while len(bytes_seen) < instances:  # the last one's callback may still be on its way
            time.sleep(0.001)
        times = [seen.result() - started for seen in bytes_seen]
        for gone in removals:
            gone.result()
        return made, times, max(times)

    def remove(self, launched: Sequence[Launched]) -> float:
        """Remove them, `workers` at a time; the seconds it took."""
        started = time.perf_counter()
        for done in [self._pool.submit(self._remove, each) for each in launched]:
            done.result()
        return time.perf_counter() - started

    def _launch(self, containers: int) -> Launched:
        client = self._client()
        launched = Launched(next(self._numbers), next(self._ports))
        network = self._shared
        if network is None:
            name = f"bench-{launched.number}"
            network = launched.network = self._network(name, next(self._subnets), icc=True)
        for index in range(containers):
            owner = Owner("bench", "bench", f"bench{launched.number}", "bench", "bench", "hash")
            port = PortBinding(9000, "tcp", launched.port, "0.0.0.0")
            bindings = (port,) if index == 0 else ()
            plan = dataclasses.replace(self.plan, name=f"c{index}", bindings=bindings)
            config = configuration(client.api_version, owner, plan, network, (plan.name,))
            config["Labels"] = {LABEL: "raw"}
            made = client.create_container_from_config(  # type: ignore[no-untyped-call]  # stubs
                config, f"bench-{launched.number}-{index}"
            )
            launched.containers.append(made["Id"])
            client.start(made["Id"])
        return launched

    def _remove(self, launched: Launched) -> None:
        client = self._client()
        for container in launched.containers:
            client.remove_container(container, force=True, v=True)
        if launched.network:
            client.remove_network(launched.network)

    def _network(self, name: str, subnet: IPv4Network, *, icc: bool) -> str:
        made = self._client().create_network(
            name,
            driver="bridge",
            labels={LABEL: "raw"},
            ipam=types.IPAMConfig(pool_configs=[types.IPAMPool(subnet=str(subnet))]),
            options={"com.docker.network.bridge.enable_icc": str(icc).lower()},
        )
        return str(made["Id"])

    def _client(self) -> docker.APIClient:
        client: docker.APIClient | None = getattr(self._local, "client", None)
        if client is None:
            client = docker.APIClient(base_url=self._url, version="auto", timeout=int(TIMEOUT))
            self._local.client = client
            self._clients.append(client)
        return client
