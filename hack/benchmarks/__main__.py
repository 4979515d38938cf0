"""The command line of `hack/bench`: one command for each benchmark."""

import sys
import tempfile
from pathlib import Path

import click

from hack.bed.errors import BedError
from hack.benchmarks import enginesettings as engine_benchmark
from hack.benchmarks import launch as launch_benchmark
from hack.benchmarks import ledger as ledger_benchmark
from hack.benchmarks import placement as placement_benchmark
from hack.benchmarks import watch as watch_benchmark

_out = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the CSV file and the plot (default: a temporary one, which is named).",
)


def _folder(out: Path | None, name: str) -> Path:
    folder = out or Path(tempfile.mkdtemp(prefix=f"bench-{name}-"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure, print a table, and say which goals are met (exit code 1 when one is not)."""


@main.command("ledger")
@_out
@click.option(
    "--operations",
    type=click.IntRange(min=100),
    default=3000,
    show_default=True,
    help="Reservations and releases for each contender and size.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of every random choice.")
def ledger(out: Path | None, operations: int, seed: int) -> None:
    """Launch preparation against the size of the ledger."""
    folder = _folder(out, "ledger")
    met = ledger_benchmark.run(folder, operations=operations, seed=seed)
    sys.exit(0 if met else 1)


@main.command("launch")
@_out
@click.option(
    "--instances", type=click.IntRange(1, 500), default=50, show_default=True, help="At once."
)
@click.option(
    "--gates", default="1,2,4,8", show_default=True, help="Sizes of the launch gate, with commas."
)
@click.option(
    "--deletes/--no-deletes",
    default=True,
    show_default=True,
    help="Also launch while as many others are deleted.",
)
def launch(out: Path | None, instances: int, gates: str, deletes: bool) -> None:
    """Launches to the first byte, beside raw Docker with the same parallelism."""
    try:
        sizes = [int(gate) for gate in gates.split(",")]
    except ValueError:
        raise click.BadParameter(f"{gates!r}: expected numbers such as 1,2,4,8") from None
    if not sizes or not all(1 <= size <= 64 for size in sizes):
        raise click.BadParameter(f"{gates!r}: expected numbers from 1 to 64")
    folder = _folder(out, "launch")
    met = launch_benchmark.run(folder, instances=instances, gates=sizes, deletes=deletes)
    sys.exit(0 if met else 1)


@main.command("engine")
@_out
@click.option(
    "--instances", type=click.IntRange(1, 500), default=30, show_default=True, help="A round."
)
@click.option(
    "--gate", type=click.IntRange(1, 64), default=2, show_default=True, help="Launches at a time."
)
@click.option("--rounds", type=click.IntRange(1, 50), default=3, show_default=True)
def engine(out: Path | None, instances: int, gate: int, rounds: int) -> None:
    """What the Docker engine's own settings give, on engines started for it."""
    folder = _folder(out, "engine")
    try:
        engine_benchmark.run(folder, instances=instances, gate=gate, rounds=rounds)
    except BedError as error:
        raise click.ClickException(str(error)) from error


_instances = click.option(
    "--instances", type=click.IntRange(50, 100_000), default=10_000, show_default=True
)
_nodes = click.option("--nodes", type=click.IntRange(2, 500), default=50, show_default=True)


@main.command("placement")
@_out
@_instances
@_nodes
def placement(out: Path | None, instances: int, nodes: int) -> None:
    """Placement alone, on simulated nodes, beside raw PATCHes of the same objects."""
    folder = _folder(out, "placement")
    met = placement_benchmark.run(folder, instances=instances, nodes=nodes)
    sys.exit(0 if met else 1)


@main.command("watch")
@_out
@_instances
@_nodes
def watch(out: Path | None, instances: int, nodes: int) -> None:
    """What an agent's watch costs, filtered by the API server and unfiltered."""
    folder = _folder(out, "watch")
    met = watch_benchmark.run(folder, instances=instances, nodes=nodes)
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main(prog_name="hack/bench")
