"""What commands print: tables as kubectl's, or the objects themselves as JSON, YAML or names.

Colours only on a terminal (not with NO_COLOR); in a pipe there are plain lines, never cut.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import click
import yaml
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from controller.cli.resource import Resource
from controller.cli.words import NONE, printable

FORMATS: Final = ("wide", "json", "yaml", "name")
GAP: Final = 3
"""Blanks between columns, as kubectl has."""


@dataclass(frozen=True)
class Cell:
    """A field of a table, with a style of rich's for terminals."""

    text: str
    style: str = ""


Row = Sequence[Cell | str]


def console(*, stderr: bool = False) -> Console:
    """The terminal, or the pipe, that is there now."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, highlight=False, markup=False, emoji=False)


def show_table(head: Sequence[str], rows: Sequence[Row]) -> None:
    """Print a table; its head too when there are no rows."""
    lines = [[Cell(title) for title in head]] + [[_cell(value) for value in row] for row in rows]
    widths = [max(cell_len(line[place].text) for line in lines) for place in range(len(head))]
    terminal = console()
    for line in lines:
        text = Text()
        for cell, width in zip(line, widths, strict=True):
            text.append(cell.text, style=cell.style)
            text.append(" " * (width - cell_len(cell.text) + GAP))
        text.rstrip()
        terminal.print(text, soft_wrap=True)


def show_objects(form: str, resource: Resource, bodies: Sequence[Any], *, single: bool) -> None:
    """Print objects as the API server has them: json, yaml, or name."""
    if form == "name":
        for body in bodies:
            click.echo(resource.printed(body["metadata"]["name"]))
        return
    # The items of a LIST do not say what they are.
    whole = [{"apiVersion": resource.api_version, "kind": resource.kind} | body for body in bodies]
    content: Any = {"apiVersion": "v1", "kind": "List", "items": whole}
    if single and len(whole) == 1:
        content = whole[0]
    if form == "json":
        click.echo(json.dumps(content, indent=4))
    else:
        click.echo(yaml.safe_dump(content, sort_keys=False), nl=False)


def _cell(value: Cell | str) -> Cell:
    cell = Cell(value) if isinstance(value, str) else value
    return Cell(printable(cell.text) or NONE, cell.style)
