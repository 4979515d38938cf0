"""`hack/bench watch`: what it costs an agent to watch its own instances among those of many nodes.

Two programs watch the same API server through the same kopf at the same time: one has the server
filter, as the agent does, the other one receives everything and filters in its handler. Each
instance is there from the start and changes once.
"""

import asyncio
import csv
import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from controller.cluster.client import INSTANCES, MERGE_PATCH, Cluster
from hack.bed.bed import Bed
from hack.bed.processes import Process
from hack.benchmarks import machine, programs, simulated
from hack.benchmarks.goals import Goal, tell

TIMEOUT = 600.0
SHARE = 20
"""The filtered watch may cost this part of the unfiltered one."""
FILTERS = ("server", "handler")


@dataclass(frozen=True)
class Cost:
    """What one watch cost: bytes over the wire, CPU seconds, MiB at most."""

    filter_at: str
    bytes: int
    cpu: float
    events: int
    memory: float


def run(folder: Path, *, instances: int, nodes: int) -> bool:
    """Measure, print, write `watch.csv`; True when every goal is met."""
    click.echo(f"{machine.describe()}\n{instances} instances, {nodes} simulated nodes")
    with simulated.control_plane() as bed:
        costs = asyncio.run(_measure(bed, instances, nodes))
    _write_csv(folder / "watch.csv", costs)
    click.echo(f"\n{'filtered by':<12}{'events':>8}{'KiB':>10}{'CPU s':>8}{'MiB':>7}")
    for cost in costs:
        click.echo(
            f"{cost.filter_at:<12}{cost.events:>8}{cost.bytes / 1024:>10.0f}{cost.cpu:>8.2f}"
            f"{cost.memory:>7.0f}"
        )
    click.echo()
    return tell(goals(*costs), [folder / "watch.csv"])


async def _measure(bed: Bed, instances: int, nodes: int) -> list[Cost]:
    cluster = await Cluster.connect(bed.kubeconfig)
    try:
        with bed.report.stage(f"create and place {instances} instances"):
            await simulated.create_instances(cluster, range(instances))
            await simulated.in_parallel(
                partial(_assign, cluster, number, nodes) for number in range(instances)
            )
        own = len(range(0, instances, nodes))
        watches = [_start(bed, filter_at, own) for filter_at in FILTERS]
        for process in watches:
            await _says(process, "listed")
        with bed.report.stage(f"change {instances} instances"):
            await simulated.in_parallel(
                partial(_change, cluster, number) for number in range(instances)
            )
        return [
            Cost(filter_at, **json.loads(await _says(process, "{")))
            for filter_at, process in zip(FILTERS, watches, strict=True)
        ]
    finally:
        await cluster.close()


def _start(bed: Bed, filter_at: str, own: int) -> Process:
    arguments = (simulated.node_name(0), filter_at, str(own), str(own))
    env = {"KUBECONFIG": str(bed.kubeconfig)}
    return programs.start(
        bed, f"watch-{filter_at}", "hack.benchmarks.agentwatch", *arguments, env=env
    )


async def _assign(cluster: Cluster, number: int, nodes: int) -> None:
    status = {
        "observedGeneration": 1,
        "nodeName": simulated.node_name(number % nodes),
        "template": simulated.template(number),
        "conditions": [simulated.condition("Scheduled"), simulated.condition("Ready")],
    }
    await simulated.patch_status(cluster, simulated.instance_name(number), status)


async def _change(cluster: Cluster, number: int) -> None:
    """A change as the life of an instance has several: here of an annotation."""
    patch = {"metadata": {"annotations": {"example.org/changed": str(number)}}}
    path = INSTANCES.path(simulated.instance_name(number), simulated.TEAM)
    await cluster.request("PATCH", path, patch, content_type=MERGE_PATCH)


async def _says(process: Process, start: str) -> str:
    """The first line of a program's output that begins so."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        alive = process.alive()
        for line in process.log.read_text().splitlines():
            if line.startswith(start):
                return line
        if not alive or time.monotonic() > deadline:
            raise TimeoutError(f"{process.name} did not say {start!r}:\n{process.log_tail()}")
        await asyncio.sleep(0.1)


def goals(filtered: Cost, unfiltered: Cost) -> list[Goal]:
    """The goals."""
    sent = filtered.bytes / unfiltered.bytes
    cpu = filtered.cpu / unfiltered.cpu
    return [
        Goal(f"at most 1/{SHARE} of the bytes", f"1/{1 / sent:.0f}", sent * SHARE <= 1),
        Goal(f"at most 1/{SHARE} of the CPU", f"1/{1 / cpu:.0f}", cpu * SHARE <= 1),
    ]


def _write_csv(path: Path, costs: list[Cost]) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        names = list(Cost.__dataclass_fields__)
        table.writerow(names)
        for cost in costs:
            table.writerow([getattr(cost, name) for name in names])
