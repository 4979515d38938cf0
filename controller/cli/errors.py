"""What ends a command of the plugin: one line for people, and an exit code for scripts.

The codes are documented in docs/kubectl-plugin.md; one that is changed breaks somebody's script.
"""

from typing import Final

import click

FAILED: Final = 1
"""The request could not be made or was refused; nothing of the other codes fits."""
USAGE: Final = 2
"""Wrong words on the command line; click's own."""
NOT_FOUND: Final = 3
"""There is no node of that name."""
TIMED_OUT: Final = 4
"""The drain's time is over, and something that is to move is still there."""
REFUSED: Final = 5
"""The node is alive and is not forgotten, or somebody who was asked did not say yes."""


class CommandError(click.ClickException):
    """Ends the command: its text goes to standard error after `Error: `, without a traceback."""

    exit_code = FAILED


class Unreachable(CommandError):
    """The API server did not answer, or what answers is none."""


class Refused(CommandError):
    """The API server knows who asks and does not let them; the text names the right."""


class NotFound(CommandError):
    """There is no such object."""

    exit_code = NOT_FOUND


class Conflict(CommandError):
    """The object is no longer what it was when it was read."""


class OutOfDate(CommandError):
    """A LIST took so long that its next page is gone: it has to begin anew."""


class TimedOut(CommandError):
    """What was waited for has not come in time."""

    exit_code = TIMED_OUT


class NotConfirmed(CommandError):
    """Nobody has said yes: what the node holds is still held."""

    exit_code = REFUSED


class NotForgotten(CommandError):
    """The node is kept."""

    exit_code = REFUSED
