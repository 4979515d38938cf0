"""The command line of `hack/bench`: one command for each benchmark."""

import sys
import tempfile
from pathlib import Path

import click

from hack.benchmarks import ledger as ledger_benchmark


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure, print a table, and say which goals are met (exit code 1 when one is not)."""


@main.command("ledger")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the CSV file and the plot (default: a temporary one, which is named).",
)
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
    folder = out or Path(tempfile.mkdtemp(prefix="bench-ledger-"))
    folder.mkdir(parents=True, exist_ok=True)
    met = ledger_benchmark.run(folder, operations=operations, seed=seed)
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main(prog_name="hack/bench")
