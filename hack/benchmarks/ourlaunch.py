"""The controller under load: instances created in the API server at once, and their first bytes.

It sees the product only from outside: objects, the engine's events, ports.
"""

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client as kubernetes_client
from kubernetes import config as kubernetes_config
from kubernetes import watch as kubernetes_watch

from controller.runtime import labels
from hack.bed.bed import Bed
from hack.bed.engine import docker_client
from hack.bed.running import RunningController
from hack.benchmarks.firstbyte import first_byte

GROUP, VERSION, PLURAL = "challenge-controller.io", "v1alpha1", "challengeinstances"
TIMEOUT = 600.0
INSTANCE_NETWORKS = {"label": f"{labels.NETWORK_KIND}={labels.KIND_INSTANCE}"}
CREATORS = 8
"""Creates at a time, as a busy portal sends them."""


class OurLaunches:
    """One agent and one manager with a launch gate of a given size, on a bed."""

    def __init__(self, bed: Bed, image: str, gate: int, prepared: int) -> None:
        """Start both, and wait until the node is ready and has that many networks prepared."""
        self._bed, self._image = bed, image
        env = {"CHALLENGE_CONCURRENT_LAUNCHES": str(gate), "CHALLENGE_PRUNE_AGE": "0"}
        env["CHALLENGE_PREPARED_NETWORKS"] = str(prepared)
        name = f"bench-{uuid.uuid4().hex[:6]}"
        self._manager = RunningController.start(bed, f"{name}-manager", role="manager", env=env)
        self._agent = RunningController.start(bed, f"{name}-agent", role="agent", env=env)
        bed.wait_for_controller(self._agent.name)
        self._api = kubernetes_client.CustomObjectsApi(
            kubernetes_config.new_client_from_config(str(bed.kubeconfig))
        )
        self._host = bed.node().address
        self._wait_prepared(prepared)

    def close(self) -> None:
        """Stop both, and leave no network to who comes next."""
        self._agent.stop()
        self._manager.stop()
        with docker_client(self._bed.docker_host) as client:
            for network in client.networks(filters=INSTANCE_NETWORKS):
                client.remove_network(network["Id"])

    def _wait_prepared(self, networks: int) -> None:
        deadline = time.perf_counter() + TIMEOUT
        with docker_client(self._bed.docker_host) as client:
            while (there := len(client.networks(filters=INSTANCE_NETWORKS))) < networks:
                if time.perf_counter() > deadline:
                    raise TimeoutError(f"{there} of {networks} networks were prepared")
                time.sleep(0.2)

    def cpu_seconds(self) -> tuple[float, float]:
        """CPU time that agent and manager have used so far."""
        return _cpu(self._agent.process.pid), _cpu(self._manager.process.pid)

    def launch(
        self, instances: int, containers: int, remove: Sequence[str] = ()
    ) -> tuple[list[str], list[float], float]:
        """Create that many at once, and delete the others meanwhile.

        Returns their names, the seconds from each one's creation to its first byte, and the seconds
        from the first creation to the last first byte. The containers wanted are 1 or 2.
        """
        names = [f"bench-{uuid.uuid4().hex[:10]}" for _ in range(instances)]
        with _Watched(self._bed, self._api, self._host, names) as watched:
            with ThreadPoolExecutor(CREATORS) as pool:
                created = {name: pool.submit(self._create, name, containers) for name in names}
                gone = [pool.submit(self._delete, name) for name in remove]
            begun = {name: done.result() for name, done in created.items()}
            for done in gone:
                done.result()
            seen = watched.first_bytes()
        times = [seen[name] - begun[name] for name in names]
        return names, times, max(seen.values()) - min(begun.values())

    def remove(self, names: Sequence[str]) -> float:
        """Delete them and wait until the last object is gone; the seconds it took."""
        started = time.perf_counter()
        with ThreadPoolExecutor(CREATORS) as pool:
            for done in [pool.submit(self._delete, name) for name in names]:
                done.result()
        self.wait_gone(names)
        return time.perf_counter() - started

    def wait_gone(self, names: Sequence[str]) -> None:
        """Wait until none of these objects is left."""
        left = set(names)
        deadline = time.perf_counter() + TIMEOUT
        while left:
            listed = self._api.list_namespaced_custom_object(GROUP, VERSION, "default", PLURAL)
            left &= {item["metadata"]["name"] for item in listed["items"]}
            if left and time.perf_counter() > deadline:
                raise TimeoutError(f"{len(left)} instances are not gone, {min(left)} for one")
            time.sleep(0.2 if left else 0)

    def _create(self, name: str, containers: int) -> float:
        port = [{"name": "nc", "containerPort": 9000}]
        wanted = [{"name": "c0", "image": self._image, "ports": port}]
        wanted += [{"name": f"c{i}", "image": self._image} for i in range(1, containers)]
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "ChallengeInstance",
            "metadata": {"name": name},
            "spec": {"user": name, "template": {"containers": wanted}},
        }
        begun = time.perf_counter()
        self._api.create_namespaced_custom_object(GROUP, VERSION, "default", PLURAL, body)
        return begun

    def _delete(self, name: str) -> None:
        self._api.delete_namespaced_custom_object(GROUP, VERSION, "default", PLURAL, name)


class _Watched:
    """Follows the objects' ports and the engine's starts, and looks for bytes as soon as both."""

    def __init__(
        self, bed: Bed, api: kubernetes_client.CustomObjectsApi, host: str, names: Sequence[str]
    ) -> None:
        self._bed, self._api, self._host = bed, api, host
        self._names = set(names)
        self._deadline = time.perf_counter() + TIMEOUT
        self._lock = threading.Lock()
        self._ports: dict[str, int] = {}
        self._started: set[str] = set()
        self._seen: dict[str, Future[float]] = {}
        self._all = threading.Event()
        self._lookers = ThreadPoolExecutor(64)
        self._watch = kubernetes_watch.Watch()

    def __enter__(self) -> "_Watched":
        threading.Thread(target=self._follow_objects, daemon=True).start()
        self._listening = threading.Event()
        threading.Thread(target=self._follow_engine, daemon=True).start()
        if not self._listening.wait(10):
            raise TimeoutError("the engine's events cannot be had")
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.stop()
        self._stream.close()
        self._lookers.shutdown()

    def first_bytes(self) -> dict[str, float]:
        """When each instance gave its first byte; raises TimeoutError."""
        if not self._all.wait(max(0.0, self._deadline - time.perf_counter())):
            raise TimeoutError(f"{len(self._seen)} of {len(self._names)} instances were started")
        return {name: seen.result() for name, seen in self._seen.items()}

    def _follow_objects(self) -> None:
        listing = self._api.list_namespaced_custom_object
        # Ends with the API server at the latest; whoever still waits for it runs into the deadline.
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            for event in self._watch.stream(listing, GROUP, VERSION, "default", PLURAL):
                self._note_ports(event["object"])

    def _note_ports(self, found: dict[str, Any]) -> None:
        name, ports = found["metadata"]["name"], found.get("status", {}).get("ports")
        if name in self._names and ports:
            with self._lock:
                self._ports[name] = ports[0]["hostPort"]
            self._look(name)

    def _follow_engine(self) -> None:
        with docker_client(self._bed.docker_host) as client:
            filters = {"event": "start", "label": f"{labels.CONTAINER}=c0"}
            self._stream = client.events(filters=filters)
            self._listening.set()
            for raw in self._stream:
                for line in raw.splitlines():
                    self._note(json.loads(line))

    def _note(self, event: dict[str, Any]) -> None:
        name = event["Actor"]["Attributes"].get(labels.INSTANCE_NAME, "")
        if name in self._names:
            with self._lock:
                self._started.add(name)
            self._look(name)

    def _look(self, name: str) -> None:
        with self._lock:
            if name in self._seen or name not in self._started or name not in self._ports:
                return
            port = self._ports[name]
            self._seen[name] = self._lookers.submit(
                first_byte, self._host, port, deadline=self._deadline
            )
            if len(self._seen) == len(self._names):
                self._all.set()


def _cpu(pid: int) -> float:
    """User and system time of a process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100  # USER_HZ is 100 on Linux


@contextmanager
def serving(bed: Bed, image: str, gate: int, prepared: int = 0) -> Iterator[OurLaunches]:
    """The controller with that gate and so many networks prepared, stopped at the end."""
    ours = OurLaunches(bed, image, gate, prepared)
    try:
        yield ours
    finally:
        ours.close()
