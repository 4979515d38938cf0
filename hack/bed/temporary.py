"""Beds that go with the program that asks for them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from hack.bed.bed import Bed
from hack.bed.cache import temporary_folder
from hack.bed.report import Report
from hack.bed.sweep import remove_orphans


@contextmanager
def temporary_bed(
    purpose: str, report: Report | None = None, *, own_engines: bool = False
) -> Iterator[Bed]:
    """A bed of which nothing runs yet, named by its purpose, and taken down at the end.

    Beds that others have left behind go first.
    """
    report = report or Report()
    remove_orphans(report)
    name = f"{purpose}-{os.getpid()}"
    bed = Bed.create(
        name, temporary_folder() / name, report, temporary=True, own_engines=own_engines
    )
    try:
        yield bed
    finally:
        bed.down()
