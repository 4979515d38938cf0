"""The goals of a benchmark: what was promised, what was measured, whether it is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click


@dataclass(frozen=True)
class Goal:
    """One promise: what was measured, and whether it is kept."""

    text: str
    measured: str
    met: bool


def tell(goals: Sequence[Goal], files: Sequence[Path]) -> bool:
    """Print the goals and where the figures were written; True when every goal is met."""
    for goal in goals:
        click.echo(f"{'met   ' if goal.met else 'MISSED'}  {goal.text}: {goal.measured}")
    click.echo("\n" + "\n".join(str(file) for file in files))
    return all(goal.met for goal in goals)
