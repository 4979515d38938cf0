"""The picture of `hack/bench ledger`: time of a reservation against the size of the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # the backend must be chosen first

if TYPE_CHECKING:
    from hack.benchmarks.ledger import Results

LABELS = {"ledger": "this ledger", "peer": "the peer's algorithm", "raw": "raw sqlite3"}


def draw(path: Path, results: Results, *, caption: str) -> None:
    """Medians as lines, with a bar up to the 99th percentile; both axes logarithmic."""
    figure, axes = pyplot.subplots(figsize=(8, 5))
    for contender, label in LABELS.items():
        series = [found for found in results.values() if found.contender == contender]
        sizes = [found.size for found in series]
        middle = [found.quantile("reserve", 0.5) for found in series]
        above = [
            found.quantile("reserve", 0.99) - found.quantile("reserve", 0.5) for found in series
        ]
        axes.errorbar(
            sizes, middle, yerr=[[0.0] * len(sizes), above], marker="o", capsize=3, label=label
        )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="instances in the ledger",
        ylabel="microseconds (median, bar to p99)",
        title="Preparing a launch: a row and a host port",
    )
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend()
    figure.text(0.01, 0.01, caption, fontsize=6)
    figure.savefig(path, dpi=150, bbox_inches="tight")
    pyplot.close(figure)
