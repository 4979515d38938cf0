"""The command `kubectl-challenge`, which kubectl runs for `kubectl challenge`.

Puts the commands together. What goes wrong ends with one line on standard error and one of the
codes of `controller.cli.errors`; Ctrl-C ends with 130.
"""

import sys

import click

from controller import __version__
from controller.cli.cordon import cordon, uncordon
from controller.cli.drain import drain
from controller.cli.forget import forget_node
from controller.cli.instances import list_instances
from controller.cli.nodes import nodes
from controller.cli.orphans import confirm_orphans


@click.group(
    "kubectl challenge",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="kubectl-challenge")
def plugin() -> None:
    """Look after the nodes and instances of challenge-controller.

    Exit codes: 0 done; 1 the cluster does not answer or refuses; 2 wrong words; 3 no such node;
    4 the time for a drain is over; 5 a node is not forgotten because it lives, or nobody said yes.
    """


for command in (nodes, list_instances, cordon, uncordon, drain, forget_node, confirm_orphans):
    plugin.add_command(command)


def main() -> None:
    """Run the command of `sys.argv`; never returns."""
    try:
        code = plugin.main(prog_name="kubectl challenge", standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted", err=True)
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
