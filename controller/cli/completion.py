"""The command `kubectl_complete-challenge`, which kubectl asks when somebody presses the tab key.

It is called with the words so far, the last of them incomplete, and answers a line for each way on
and one with kubectl's directive, as `kubectl __complete` does.
"""

import sys
from typing import Final

import click
from click.shell_completion import ShellComplete

from controller.cli.main import plugin

NO_FILES: Final = ":4"
"""The directive: the shell adds no names of files."""


def main() -> None:
    """Print what can follow."""
    words = sys.argv[1:] or [""]
    for line in lines(words[:-1], words[-1]):
        click.echo(line)


def lines(before: list[str], incomplete: str) -> list[str]:
    """kubectl's answer for the words before the incomplete one."""
    asked = ShellComplete(plugin, {}, "kubectl challenge", "_KUBECTL_CHALLENGE_COMPLETE")
    found = asked.get_completions(before, incomplete)
    known = [f"{item.value}\t{item.help}" if item.help else str(item.value) for item in found]
    return [*known, NO_FILES]


if __name__ == "__main__":
    main()
