"""Beds whose owner was killed before it could remove them."""

from hack.bed.bed import Bed
from hack.bed.cache import locked
from hack.bed.report import Report
from hack.bed.state import every_bed


def remove_orphans(report: Report) -> None:
    """Remove every temporary or half-made bed of this user whose owner has gone."""
    with locked("sweep"):
        for state in every_bed():
            if state.orphaned:
                text = f"remove the bed {state.name}, left behind by pid {state.owner.pid}"
                with report.stage(text):
                    Bed(state, report).down()
