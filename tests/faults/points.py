"""Which points the sweep has: the doors, what can go wrong at each, and a share of them by seed."""

from collections.abc import Mapping
from random import Random
from typing import Final, NamedTuple

from tests.faults.seam import API, ENGINE, LEDGER, Fault, What, When


class Kind(NamedTuple):
    """What goes wrong at a door, before or after the call has done its work."""

    door: str
    when: When
    what: What

    def __str__(self) -> str:
        """As tests are named."""
        return f"{self.door}-{self.when}-{self.what}"

    def point(self, n: int) -> Fault:
        """The same at the nth call."""
        return Fault(self.door, n, self.when, self.what)


KINDS: Final = (
    *(
        Kind(door, when, what)
        for door in (ENGINE, LEDGER, API)
        for what in ("error", "timeout", "kill")
        for when in ("before", "after")
    ),
    # A call that is carried out though its caller has given it up, and one whose connection ends.
    Kind(ENGINE, "before", "late"),
    Kind(ENGINE, "before", "cut"),
    Kind(ENGINE, "after", "cut"),
    Kind(API, "before", "late"),
)


def share(counts: Mapping[str, int], seed: str, *, kills: int, others: int) -> list[Fault]:
    """So many points of all, which are the same for the same seed; those that kill come last."""
    random = Random(seed)
    every = [kind.point(n) for kind in KINDS for n in range(1, counts[kind.door] + 1)]
    killing = [point for point in every if point.what == "kill"]
    harmless = [point for point in every if point.what != "kill"]
    return random.sample(harmless, others) + random.sample(killing, kills)


def starts(counts: Mapping[str, int]) -> list[Fault]:
    """What can go wrong at each call of a start, those that only read too."""
    return [
        Fault(door, n, "before", what)
        for door, count in sorted(counts.items())
        for n in range(1, count + 1)
        for what in ("error", "kill")
    ]
