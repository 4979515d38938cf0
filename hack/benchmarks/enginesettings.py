"""`hack/bench engine`: what the Docker engine's own settings give, with raw launches on each.

One engine for each variant, all started at the beginning; rounds take turns over them, so that what
else the machine does falls on all alike. Needs engines of its own, so it never touches one that is
there.
"""

import csv
import shutil
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import click

from controller.runtime.plan import ContainerPlan
from hack.bed.bed import Bed
from hack.bed.engine import foreign_engine
from hack.bed.errors import BedError
from hack.bed.packages import install_missing
from hack.bed.report import Report
from hack.bed.temporary import temporary_bed
from hack.benchmarks import machine
from hack.benchmarks.rawdocker import RawDocker

FIRST_PORT = 40_000
PROXY_OFF: Mapping[str, object] = {"userland-proxy": False}


@dataclass
class Variant:
    """An engine's settings, or a container's, and the rates measured with them."""

    name: str
    daemon: Mapping[str, object] = field(default_factory=dict)
    iptables_legacy: bool = False
    plan: Callable[[ContainerPlan], ContainerPlan] = lambda plan: plan
    launches: list[float] = field(default_factory=list)
    removals: list[float] = field(default_factory=list)


def variants() -> list[Variant]:
    """What is compared; the first one is what the others are compared with."""
    return [
        Variant("as installed"),
        Variant("userland-proxy off", PROXY_OFF),
        Variant("log driver local", plan=lambda plan: replace(plan, log_driver="local")),
        Variant("log driver none", plan=_without_log),
        Variant("proxy off, log none", PROXY_OFF, plan=_without_log),
        Variant("live-restore on", {"live-restore": True}),
        Variant("iptables-legacy", iptables_legacy=True),
        Variant("the engine's own seccomp", plan=lambda plan: replace(plan, seccomp=None)),
        Variant("seccomp off", plan=lambda plan: replace(plan, seccomp="unconfined")),
    ]


def _without_log(plan: ContainerPlan) -> ContainerPlan:
    return replace(plan, log_driver="none", log_options={})


def run(folder: Path, *, instances: int, gate: int, rounds: int) -> None:
    """Measure, print, write `engine.csv`. Raises BedError where no engine of ours can be had."""
    if foreign_engine() is not None:
        raise BedError("hack/bench engine needs engines of its own: unset DOCKER_HOST, stop Docker")
    report = Report()
    install_missing(report)
    compared = variants()
    with temporary_bed("bench", report) as bed:
        click.echo(f"{machine.describe()}\n{instances} launches at once, {gate} at a time\n")
        images = [_start(bed, number, each) for number, each in enumerate(compared, 1)]
        for number, each in enumerate(compared, 1):
            _round(bed, number, images[number - 1], each, 4, gate)
            each.launches.clear()
            each.removals.clear()
        for _ in range(rounds):
            for number, each in enumerate(compared, 1):
                _round(bed, number, images[number - 1], each, instances, gate)
    _tell(compared)
    _write_csv(folder / "engine.csv", compared)
    click.echo(f"\n{folder / 'engine.csv'}")


def _start(bed: Bed, number: int, variant: Variant) -> str:
    programs = _legacy_programs(bed.state.folder) if variant.iptables_legacy else None
    bed.start_engine(number, daemon=variant.daemon, programs=programs)
    return bed.import_image(number)


def _legacy_programs(folder: Path) -> Path:
    """A folder in which iptables and ip6tables are the legacy ones."""
    programs = folder / "iptables-legacy"
    programs.mkdir(exist_ok=True)
    for name in ("iptables", "ip6tables"):
        legacy = shutil.which(f"{name}-legacy", path="/usr/sbin:/sbin:/usr/bin")
        if legacy is None:
            raise BedError(f"{name}-legacy is not installed; on Debian: apt-get install iptables")
        (programs / name).symlink_to(legacy)
    return programs


def _round(bed: Bed, number: int, image: str, variant: Variant, instances: int, gate: int) -> None:
    node = bed.node(number)
    raw = RawDocker(node.engine.url, image, node.address, gate, first_port=FIRST_PORT)
    raw.plan = variant.plan(raw.plan)
    try:
        raw.share_bridge()
        made, times, whole = raw.launch(instances, 1)
        variant.launches.append(len(times) / whole)
        variant.removals.append(len(made) / raw.remove(made))
    finally:
        raw.close()


def _tell(compared: list[Variant]) -> None:
    first = statistics.median(compared[0].launches)
    click.echo(f"{'engine':<24}{'launches/s':>12}{'':>8}{'removals/s':>12}")
    for each in compared:
        rate = statistics.median(each.launches)
        removed = statistics.median(each.removals)
        click.echo(f"{each.name:<24}{rate:>12.2f}{rate / first:>7.2f}x{removed:>12.2f}")


def _write_csv(path: Path, compared: list[Variant]) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["variant", "round", "launches_per_second", "removals_per_second"])
        for each in compared:
            for number, (rate, removed) in enumerate(
                zip(each.launches, each.removals, strict=True), 1
            ):
                table.writerow([each.name, number, f"{rate:.3f}", f"{removed:.3f}"])
