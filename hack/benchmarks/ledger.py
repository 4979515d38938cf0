"""`hack/bench ledger`: launch preparation against the size of the ledger.

Every contender has a file of each size, and they take turns in short rounds, so that what else the
machine does falls on all of them alike. A round reserves and releases, so that the size stays.
"""

import csv
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click

from controller.ledger import Ledger
from hack.benchmarks import machine
from hack.benchmarks.contenders import CONTENDERS, RANGE, Contender
from hack.benchmarks.goals import Goal, tell
from hack.benchmarks.plot import draw

NEARLY_FULL = 52_948  # 99.9 % of the range
SIZES = (20, 200, 20_000, 50_000, NEARLY_FULL)
ROUND = 20
BATCH = 1000
FINALIZE_RUNS = 15


@dataclass
class Series:
    """The times of one contender at one size, in nanoseconds."""

    contender: str
    size: int
    reserve: list[int] = field(default_factory=list)
    release: list[int] = field(default_factory=list)

    def quantile(self, operation: str, share: float) -> float:
        """A quantile of `reserve` or `release`, in microseconds."""
        times: list[int] = sorted(getattr(self, operation))
        return times[min(int(len(times) * share), len(times) - 1)] / 1000


Results = dict[tuple[str, int], Series]


def run(folder: Path, *, operations: int, seed: int) -> bool:
    """Measure, print, write `ledger.csv` and `ledger.png`; True when every goal is met."""
    chance = random.Random(seed)
    where = machine.describe()
    click.echo(f"{where}\nrange of {len(RANGE):,} ports, {operations:,} operations each\n")
    with tempfile.TemporaryDirectory(prefix="bench-ledger-files-") as files:
        results = measure(Path(files), operations=operations, seed=seed, chance=chance)
        batch, single = finalizing(Path(files), chance)
    print_table(results)
    goals = [*reservation_goals(results), finalize_goal(batch, single)]
    click.echo(
        f"\nfinalize {BATCH:,} instances: {batch:.1f} ms in one call, {single:.1f} ms singly"
    )
    click.echo()
    write_csv(folder / "ledger.csv", results)
    draw(folder / "ledger.png", results, caption=where)
    return tell(goals, [folder / "ledger.csv", folder / "ledger.png"])


def new_uid(chance: random.Random) -> str:
    """A uid as the API server gives them."""
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def measure(files: Path, *, operations: int, seed: int, chance: random.Random) -> Results:
    """All contenders at all sizes, in turns."""
    results: Results = {}
    running: list[tuple[Contender, Series]] = []
    for size in SIZES:
        uids = [new_uid(chance) for _ in range(size)]
        for contender in CONTENDERS:
            opened: Contender = contender(files / f"{contender.name}-{size}.db", seed)
            opened.fill(uids)
            if opened.taken() != size:
                raise AssertionError(f"{contender.name}: {opened.taken()} of {size} ports taken")
            results[contender.name, size] = series = Series(contender.name, size)
            running.append((opened, series))
    rounds = -(-operations // ROUND)
    with click.progressbar(range(rounds), label="measuring") as progress:
        for _ in progress:
            # In another order each time, so that none always finds the caches of the same other.
            chance.shuffle(running)
            for opened, series in running:
                one_round(opened, series, [new_uid(chance) for _ in range(ROUND)])
    for opened, series in running:
        if opened.taken() != series.size:
            raise AssertionError(f"{series.contender}: ports leaked at size {series.size}")
        opened.close()
    return results


def one_round(contender: Contender, series: Series, uids: list[str]) -> None:
    """Reserve for each uid and release it; the ports in between are few."""
    for uid in uids:
        started = time.perf_counter_ns()
        contender.reserve(uid)
        reserved = time.perf_counter_ns()
        contender.release(uid)
        series.reserve.append(reserved - started)
        series.release.append(time.perf_counter_ns() - reserved)


def finalizing(files: Path, chance: random.Random) -> tuple[float, float]:
    """Milliseconds to finalize a batch in one call, and one by one; medians."""
    uids = [new_uid(chance) for _ in range(BATCH)]
    with Ledger.open(files / "finalize.db", RANGE, seed=1) as book:
        for uid in uids:
            book.reserve(uid, ["http"], namespace="ctf", name="web", now=1)

        def batch() -> None:
            book.finalize(uids, now=3)

        def single() -> None:
            for uid in uids:
                book.finalize([uid], now=3)

        def timed(call: Callable[[], None]) -> float:
            for uid in uids:
                book.begin_attempt(uid, now=2)
            started = time.perf_counter()
            call()
            return (time.perf_counter() - started) * 1000

        pairs = [(timed(batch), timed(single)) for _ in range(FINALIZE_RUNS)]
        batches, singles = zip(*pairs, strict=True)
        return statistics.median(batches), statistics.median(singles)


def reservation_goals(results: Results) -> list[Goal]:
    """The goals for reserving and releasing."""

    def median(contender: str, size: int, operation: str = "reserve") -> float:
        return results[contender, size].quantile(operation, 0.5)

    goals = []
    for operation in ("reserve", "release"):
        for size in (50_000, NEARLY_FULL):
            ratio = median("ledger", size, operation) / median("ledger", 20, operation)
            text = f"{operation}: median at {size:,} at most 1.2 x the one at 20"
            goals.append(Goal(text, f"{ratio:.2f} x", ratio <= 1.2))
    worst = max(median("ledger", size) / median("raw", size) for size in SIZES)
    goals.append(Goal("reserve: at most 3 x raw at every size", f"{worst:.2f} x", worst <= 3))
    gain = median("peer", 50_000) / median("ledger", 50_000)
    text = "reserve: at least 150 x faster than the peer's algorithm at 50,000"
    goals.append(Goal(text, f"{gain:.0f} x", gain >= 150))
    gain = median("peer", 20) / median("ledger", 20)
    text = "reserve: not slower than the peer's algorithm at 20"
    return [*goals, Goal(text, f"{gain:.2f} x as fast", gain >= 1)]


def finalize_goal(batch: float, single: float) -> Goal:
    """The goal for finalizing in batches."""
    gain = single / batch
    text = f"finalize: {BATCH:,} in one call at least 20 x faster than one by one"
    return Goal(text, f"{gain:.0f} x", gain >= 20)


def print_table(results: Results) -> None:
    """One line for each contender and size; microseconds."""
    click.echo(f"\n{'microseconds':<12}{'':>10}{'reserve':>20}{'release':>22}")
    click.echo(f"{'contender':<12}{'instances':>10}{'p50':>10}{'p99':>10}{'p50':>12}{'p99':>10}")
    for series in results.values():
        cells = [
            series.quantile(operation, share)
            for operation in ("reserve", "release")
            for share in (0.5, 0.99)
        ]
        click.echo(
            f"{series.contender:<12}{series.size:>10,}{cells[0]:>10,.1f}{cells[1]:>10,.1f}"
            f"{cells[2]:>12,.1f}{cells[3]:>10,.1f}"
        )


def write_csv(path: Path, results: Results) -> None:
    """The table with more quantiles; microseconds."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["contender", "instances", "operation", "n", "p50", "p90", "p99"])
        for series in results.values():
            for operation in ("reserve", "release"):
                quantiles = [f"{series.quantile(operation, q):.2f}" for q in (0.5, 0.9, 0.99)]
                count = len(series.reserve)
                table.writerow([series.contender, series.size, operation, count, *quantiles])
