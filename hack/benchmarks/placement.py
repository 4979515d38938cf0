"""`hack/bench placement`: placement alone, on many simulated nodes, beside raw PATCHes.

The manager is a process of its own, as in production. In one run, on one API server: all instances
placed from the start of the manager on; the manager started again with all of them there; the same
statuses written once more by raw PATCHes, as many at a time, with no manager to watch them.
"""

import asyncio
import csv
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from controller.cluster.client import EVENTS, INSTANCES, Cluster, Object
from hack.bed.bed import Bed
from hack.bed.controlplane import free_port
from hack.bed.processes import Process
from hack.benchmarks import machine, programs, simulated
from hack.benchmarks.goals import Goal, tell

TIMEOUT = 900.0
LEAST_RATE = 0.7
MOST_MEMORY = 300
"""MiB, at any moment."""
MOST_START = 20.0
"""Seconds from the start of the program to the first placement."""


@dataclass(frozen=True)
class Figures:
    """What was measured; times in seconds, memory in MiB, rates in instances a second."""

    instances: int
    nodes: int
    placed: float
    raw: float
    cpu: float
    memory: float
    memory_now: float
    start: float
    memory_at_start: float
    spread: int
    events: int


def run(folder: Path, *, instances: int, nodes: int) -> bool:
    """Measure, print, write `placement.csv`; True when every goal is met."""
    click.echo(f"{machine.describe()}\n{instances} instances, {nodes} simulated nodes")
    with simulated.control_plane() as bed:
        found = asyncio.run(_measure(bed, instances, nodes))
    _write_csv(folder / "placement.csv", found)
    click.echo(_table(found))
    return tell(goals(found), [folder / "placement.csv"])


async def _measure(bed: Bed, instances: int, nodes: int) -> Figures:
    cluster = await Cluster.connect(bed.kubeconfig)
    try:
        with bed.report.stage(f"create {instances} instances"):
            await simulated.create_world(cluster, nodes=nodes, instances=instances)
        async with simulated.leases_renewed(cluster, nodes):
            manager = Manager(bed, "manager-1")
            placed, cpu = await _placement(cluster, manager, instances)
            now, most = programs.resident(manager.process)
            manager.stop()
            again = Manager(bed, "manager-2")
            start = await _first_placement(cluster, again, instances)
            at_start = programs.resident(again.process)[1]
            again.stop()
        events = len([event async for event in cluster.list(EVENTS, simulated.TEAM)])
        bodies = [body async for body in cluster.list(INSTANCES, simulated.TEAM)]
        counts = Counter(body["status"]["nodeName"] for body in bodies)
        raw = await _raw(cluster, bodies, nodes)
    finally:
        await cluster.close()
    spread = max(counts.values()) - min(counts.values())
    return Figures(instances, nodes, placed, raw, cpu, most, now, start, at_start, spread, events)


class Manager:
    """A manager process, and what it says of itself."""

    def __init__(self, bed: Bed, name: str) -> None:
        """Start it."""
        port = free_port("127.0.0.1")
        self._url = f"http://127.0.0.1:{port}/metrics"
        self.started = time.perf_counter()
        env = {"CHALLENGE_METRICS_PORT": str(port)}
        self.process: Process = programs.start(bed, name, "controller", "manager", env=env)

    def stop(self) -> None:
        """End it."""
        self.process.stop()

    async def pending(self) -> int:
        """How many wait for a node, as its metrics have it."""
        text = await asyncio.to_thread(self._metrics)
        lines = [line.split() for line in text.splitlines()]
        return int(float(dict(line for line in lines if len(line) == 2)[_PENDING]))

    def _metrics(self) -> str:
        with urllib.request.urlopen(self._url, timeout=60) as answer:
            return str(answer.read().decode())


_PENDING = "challenge_instances_pending"


async def _placement(cluster: Cluster, manager: Manager, instances: int) -> tuple[float, float]:
    """Placements a second, from the first to the last, and CPU seconds of the manager for each."""
    await _has_node(cluster, simulated.instance_name(0))
    begun, cpu = time.perf_counter(), manager.process.cpu_seconds()
    while left := await manager.pending():
        await asyncio.sleep(0.5 if left > instances / 20 else 0.05)
        if time.perf_counter() - begun > TIMEOUT:
            raise TimeoutError(f"{left} instances still wait for a node")
    taken = time.perf_counter() - begun
    used = manager.process.cpu_seconds() - cpu
    without = [
        body["metadata"]["name"]
        async for body in cluster.list(INSTANCES, field_selector="status.nodeName=")
    ]
    if without:
        raise RuntimeError(f"{len(without)} have no node though nobody waits, such as {without[0]}")
    return instances / taken, used / instances


async def _first_placement(cluster: Cluster, manager: Manager, instances: int) -> float:
    """Seconds from the start of the program to the first placement, of one just created."""
    await simulated.create_instances(cluster, [instances])
    await _has_node(cluster, simulated.instance_name(instances))
    return time.perf_counter() - manager.started


async def _has_node(cluster: Cluster, name: str) -> None:
    deadline = time.perf_counter() + TIMEOUT
    while True:
        body = await cluster.get(INSTANCES, name, simulated.TEAM)
        if body["status"].get("nodeName"):
            return
        if time.perf_counter() > deadline:
            raise TimeoutError(f"{name} has no node: {body['status']}")
        await asyncio.sleep(0.02)


async def _raw(cluster: Cluster, bodies: Sequence[Object], nodes: int) -> float:
    """Raw PATCHes a second, of the same statuses but for the node, which is the next one."""

    async def patch(body: Object) -> None:
        status = dict(body["status"])
        number = int(status["nodeName"].rpartition("-")[2])
        status["nodeName"] = simulated.node_name((number + 1) % nodes)
        await simulated.patch_status(cluster, body["metadata"]["name"], status)

    begun = time.perf_counter()
    await simulated.in_parallel(partial(patch, body) for body in bodies)
    return len(bodies) / (time.perf_counter() - begun)


def goals(found: Figures) -> list[Goal]:
    """The goals."""
    share, memory = found.placed / found.raw, max(found.memory, found.memory_at_start)
    return [
        Goal(
            f"at least {LEAST_RATE} x the rate of raw PATCHes",
            f"{share:.2f} x",
            share >= LEAST_RATE,
        ),
        Goal(
            f"at most {MOST_MEMORY} MiB of memory at any moment",
            f"{memory:.0f} MiB",
            memory <= MOST_MEMORY,
        ),
        Goal(
            f"start with all of them there in {MOST_START:.0f} s",
            f"{found.start:.1f} s",
            found.start <= MOST_START,
        ),
        Goal(
            "the fullest node has at most 2 more than the emptiest",
            str(found.spread),
            found.spread <= 2,
        ),
    ]


def _table(found: Figures) -> str:
    rows = [
        ("placements a second", f"{found.placed:.1f}"),
        ("raw PATCHes of the same statuses a second", f"{found.raw:.1f}"),
        ("CPU of the manager for a placement", f"{1000 * found.cpu:.1f} ms"),
        (
            "memory after the placements, now and at most",
            f"{found.memory_now:.0f} and {found.memory:.0f} MiB",
        ),
        (
            "from the program's start to a first placement, all others placed",
            f"{found.start:.1f} s",
        ),
        ("memory at most, started so", f"{found.memory_at_start:.0f} MiB"),
        ("Events sent until then; the others follow when it is quiet", str(found.events)),
    ]
    return "\n" + "\n".join(f"{text:<66} {value}" for text, value in rows) + "\n"


def _write_csv(path: Path, found: Figures) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        names = list(Figures.__dataclass_fields__)
        table.writerow(names)
        table.writerow([f"{getattr(found, name):g}" for name in names])
