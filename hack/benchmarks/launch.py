"""`hack/bench launch`: many creates at once, from the create to the first byte of the service.

In one run, on one engine: the controller, and raw Docker doing the same from a bare thread pool as
wide as the launch gate. Every round starts on an engine without containers.
"""

import csv
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from hack.bed.bed import Bed
from hack.bed.temporary import temporary_bed
from hack.benchmarks import machine
from hack.benchmarks.goals import Goal, tell
from hack.benchmarks.ourlaunch import serving
from hack.benchmarks.rawdocker import RawDocker

PREPARED = "controller, prepared"
"""The controller with a network made ahead for each instance (CHALLENGE_PREPARED_NETWORKS)."""
RAW_PORTS = 30_000
"""Raw Docker's first host port: above the controller's range, below what Linux hands out itself."""


@dataclass(frozen=True)
class Round:
    """What one contender did with one gate."""

    contender: str
    gate: int
    containers: int
    deletes: bool
    times: Sequence[float]
    whole: float
    removal: float = 0.0
    agent_cpu: float = 0.0
    manager_cpu: float = 0.0

    @property
    def rate(self) -> float:
        """Instances a second, from the first create to the last first byte."""
        return len(self.times) / self.whole

    def quantile(self, share: float) -> float:
        """A quantile of the times to the first byte, in seconds."""
        ordered = sorted(self.times)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def run(folder: Path, *, instances: int, gates: Sequence[int], deletes: bool) -> bool:
    """Measure, print, write `launch.csv`; True when every goal is met."""
    rounds: list[Round] = []
    with temporary_bed("bench") as bed:
        click.echo(f"{machine.describe()}\n{instances} instances at once")
        bed.start_control_plane()
        bed.start_engine()
        image = bed.import_image()
        _warm_up(bed, image)
        click.echo(_HEADER)
        for gate in gates:
            for measured in _gate(bed, image, gate, instances, deletes):
                rounds.append(measured)
                click.echo(_line(measured))
    _write_csv(folder / "launch.csv", rounds)
    click.echo()
    return tell(goals(rounds), [folder / "launch.csv"])


def _warm_up(bed: Bed, image: str) -> None:
    """A few launches that do not count: the engine's first ones load what later ones find."""
    raw = RawDocker(bed.docker_host, image, bed.node().address, 2, first_port=RAW_PORTS)
    raw.remove(raw.launch(4, 1)[0])
    raw.close()


def _gate(bed: Bed, image: str, gate: int, instances: int, deletes: bool) -> Iterable[Round]:
    yield _raw(bed, image, gate, instances, 1, shared=False)
    yield _raw(bed, image, gate, instances, 1, shared=True)
    yield _ours(bed, image, gate, instances, 1)
    yield _raw(bed, image, gate, instances, 2, shared=False)
    yield _ours(bed, image, gate, instances, 2)
    yield _ours(bed, image, gate, instances, 2, prepared=instances)
    if deletes:
        yield _raw(bed, image, gate, instances, 1, shared=True, deletes=True)
        yield _ours(bed, image, gate, instances, 1, deletes=True)


def _raw(
    bed: Bed,
    image: str,
    gate: int,
    instances: int,
    containers: int,
    *,
    shared: bool,
    deletes: bool = False,
) -> Round:
    raw = RawDocker(bed.docker_host, image, bed.node().address, gate, first_port=RAW_PORTS)
    try:
        if shared:
            raw.share_bridge()
        before = raw.launch(instances, containers)[0] if deletes else []
        made, times, whole = raw.launch(instances, containers, remove=before)
        removal = raw.remove(made)
    finally:
        raw.close()
    contender = "raw, shared bridge" if shared else "raw, a network each"
    return Round(contender, gate, containers, deletes, times, whole, removal)


def _ours(
    bed: Bed,
    image: str,
    gate: int,
    instances: int,
    containers: int,
    *,
    deletes: bool = False,
    prepared: int = 0,
) -> Round:
    with serving(bed, image, gate, prepared) as ours:
        before = ours.launch(instances, containers)[0] if deletes else []
        cpu = ours.cpu_seconds()
        made, times, whole = ours.launch(instances, containers, remove=before)
        time.sleep(1.0)  # until the last ones are Ready and finalized, which is a part of the cost
        agent, manager = ours.cpu_seconds()
        ours.wait_gone(before)
        removal = ours.remove(made)
    return Round(
        PREPARED if prepared else "controller",
        gate,
        containers,
        deletes,
        times,
        whole,
        removal,
        (agent - cpu[0]) / instances,
        (manager - cpu[1]) / instances,
    )


_HEADER = (
    f"\n{'gate':>4} {'containers':>10} {'contender':<24}{'a second':>9}{'p50 s':>8}{'p99 s':>8}"
    f"{'removed/s':>11}{'agent ms':>10}{'manager ms':>12}"
)


def _line(found: Round) -> str:
    name = found.contender + (", deletes" if found.deletes else "")
    removed = f"{len(found.times) / found.removal:.2f}"
    cpu = ["", ""]
    if found.contender.startswith("controller"):
        cpu = [f"{1000 * found.agent_cpu:.0f}", f"{1000 * found.manager_cpu:.0f}"]
    return (
        f"{found.gate:>4} {found.containers:>10} {name:<24}{found.rate:>9.2f}"
        f"{statistics.median(found.times):>8.2f}{found.quantile(0.99):>8.2f}{removed:>11}"
        f"{cpu[0]:>10}{cpu[1]:>12}"
    )


def goals(rounds: Sequence[Round]) -> list[Goal]:
    """The goals, each at every gate that was measured."""
    found = {(r.contender, r.gate, r.containers): r for r in rounds if not r.deletes}
    made: list[Goal] = []
    for gate in dict.fromkeys(r.gate for r in rounds):
        single, double = found["controller", gate, 1], found["controller", gate, 2]
        for ours, contender, least in (
            (single, "raw, a network each", 1.25),
            (single, "raw, shared bridge", 0.85),
            (double, "raw, a network each", 1.2),
            (found[PREPARED, gate, 2], "raw, a network each", 1.2),
        ):
            ratio = ours.rate / found[contender, gate, ours.containers].rate
            what = "1 container" if ours.containers == 1 else "2 containers"
            what += ", networks prepared" * (ours.contender == PREPARED)
            text = f"gate {gate}, {what}: at least {least} x {contender}"
            made.append(Goal(text, f"{ratio:.2f} x", ratio >= least))
        cost = 1000 * single.agent_cpu
        text = f"gate {gate}: at most 60 ms CPU of the agent a launch"
        made.append(Goal(text, f"{cost:.0f} ms", cost <= 60))
    return made


def _write_csv(path: Path, rounds: Sequence[Round]) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        rates = ("per_second", "p50_s", "p99_s", "removals_per_second")
        cost = ("agent_cpu_s", "manager_cpu_s")
        table.writerow(["contender", "gate", "containers", "deletes", "n", *rates, *cost])
        for r in rounds:
            values = (r.rate, r.quantile(0.5), r.quantile(0.99), len(r.times) / r.removal)
            figures = [f"{value:.3f}" for value in (*values, r.agent_cpu, r.manager_cpu)]
            table.writerow([r.contender, r.gate, r.containers, r.deletes, len(r.times), *figures])
