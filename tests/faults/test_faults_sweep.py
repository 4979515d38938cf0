"""Each call of an instance's life fails in turn: at the engine, the ledger and the API server.

After each everything is as if it had not failed: exactly the expected containers, networks,
volumes, folders, rules, ports and rows; and nothing at all once the instance is deleted.

FAULT_POINT=engine-7-after-kill has the quick test go through that point alone, FAULT_START that of
the starts, FAULT_SEED=N both through the share of that seed; FAULT_SHARE=0.2 has the slow tests go
through a fifth of theirs.
"""

import itertools
import os
import random
import time
from collections.abc import Callable, Iterator

import pytest

from hack.bed.bed import Bed
from tests.faults.points import KINDS, Kind, share, starts
from tests.faults.seam import API, DOORS, ENGINE, LEDGER, READS, Fault
from tests.faults.sweeping import AT_ONCE, Sweep, sweeping

SEED = os.environ.get("FAULT_SEED") or str(random.randrange(10**6))
POINT, START = os.environ.get("FAULT_POINT"), os.environ.get("FAULT_START")
SHARE = float(os.environ.get("FAULT_SHARE", "1"))
SURE = 0.5
"""The part of the calls counted that each life has: how often an instance is looked at varies."""
STARTED = (API, API + READS, ENGINE + READS, LEDGER, LEDGER + READS)
"""The doors that a start goes through."""

Tell = Callable[[str], None]


@pytest.fixture(scope="module")
def sweep(bed: Bed, echo_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    """An agent that removes each network with its instance, beside an instance that stays."""
    folder = tmp_path_factory.mktemp("faults")
    with sweeping(bed, echo_image, folder, SPARE_NETWORKS="0") as made:
        made.begin(bystander=True)
        yield made


@pytest.fixture(scope="module")
def counts(sweep: Sweep) -> dict[str, int]:
    """How many calls there are at each door in a life in which none fails."""
    return sweep.count()


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Print a line also when the test succeeds."""

    def line(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}", flush=True)

    return line


def test_a_share_of_the_points_leaves_everything_as_it_should_be(
    sweep: Sweep, counts: dict[str, int], tell: Tell
) -> None:
    assert min(counts[door] for door in DOORS) > 0, counts
    points = share(counts, SEED, kills=1, others=AT_ONCE)
    if POINT:
        points = [Fault.parse(POINT)]
    tell(f"FAULT_SEED={SEED}: {', '.join(map(str, points))}")
    kills = [point for point in points if point.what == "kill"]
    others = [point for point in points if point.what != "kill"]
    met = [*sweep.meet(others), *sweep.meet(kills)]
    wanted = len(points) - 1 if POINT else SURE * len(points)
    assert len(met) > wanted, f"only {', '.join(map(str, met))} were met"


def test_a_start_that_fails_on_its_way_is_made_good_by_the_next(sweep: Sweep, tell: Tell) -> None:
    points = starts(sweep.count_start())
    point = Fault.parse(START) if START else random.Random(SEED).choice(points)
    tell(f"FAULT_SEED={SEED}: {point}, of {len(points)}")
    assert sweep.start(point)


def is_chosen(point: Fault) -> bool:
    """Whether the point is in the share that the slow tests go through."""
    return random.Random(f"{SEED} {point}").random() < SHARE


def summary(what: str, met: int, counted: int, left_out: int, began: float) -> str:
    """A line for people; more can be met than were counted while nothing failed."""
    seconds = time.monotonic() - began
    text = f"{what}: {met} points met of {counted} counted, {left_out} left out, {seconds:.0f} s"
    return text + (f", FAULT_SEED={SEED}" if left_out else "")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_point_leaves_everything_as_it_should_be(
    sweep: Sweep, counts: dict[str, int], tell: Tell, kind: Kind
) -> None:
    began, left_out, met = time.monotonic(), 0, 0
    counted, step = counts[kind.door], 1 if kind.what == "kill" else AT_ONCE
    for first in itertools.count(1, step):
        points = [kind.point(n) for n in range(first, first + step)]
        chosen = [point for point in points if point.n > counted or is_chosen(point)]
        reached = sweep.meet(chosen)
        left_out += len(points) - len(chosen)
        met += len(reached)
        if any(point.n > counted for point in set(chosen) - set(reached)):
            break
    tell(summary(str(kind), met, counted, left_out, began))
    assert met + left_out > SURE * counted


@pytest.mark.slow
@pytest.mark.parametrize("door", STARTED)
def test_a_start_that_fails_anywhere_is_made_good_by_the_next(
    sweep: Sweep, tell: Tell, door: str
) -> None:
    began = time.monotonic()
    points = [point for point in starts(sweep.count_start()) if point.door == door]
    chosen = [point for point in points if is_chosen(point)]
    met = [sweep.start(point) for point in chosen]
    left_out = len(points) - len(chosen)
    tell(summary(f"start-{door}", sum(met), len(points), left_out, began))
    assert all(met)
