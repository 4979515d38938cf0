"""A drain's progress: a bar on a terminal, plain lines in a pipe."""

from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from controller.cli.table import console
from controller.cli.words import count, printable


class Display:
    """Shows how many instances have left a node; used by `with`."""

    def __init__(self, name: str) -> None:
        """`name` is the node's."""
        self._name = name
        self._console = console()
        self._said = ""
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("have left"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(f"draining {name}", total=None)

    def __enter__(self) -> Self:
        """Put up the bar, if there is a terminal."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away; the lines stay."""
        self._bar.stop()

    def show(self, gone: list[str], moved: int, total: int, staying: int) -> None:
        """Tell who has left since the last look, and how it stands, if that is news."""
        for key in gone:
            self.say(f"{key} has left {self._name}")
        self._bar.update(self._task, completed=moved, total=total or None)
        line = f"{self._name}: "
        line += f"{moved} of {total} have left" if total else "nothing is to leave"
        line += f", {count(staying, 'stays', 'stay')}" if staying else ""
        if line != self._said and not self._console.is_terminal:
            self.say(line)
        self._said = line

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._console.print(printable(line), soft_wrap=True)
