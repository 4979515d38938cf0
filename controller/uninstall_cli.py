"""The command `challenge-controller uninstall`: the chart runs it before it deletes its parts.

Responsible for what it prints and how it ends: 0 when nothing of the installation is left in the
cluster (but for its managers' Lease, CRDs and rights) or on any host; 1 when something is, which is
named; 2 for a wrong setting. It can be run again, and goes on from where it was.

Its account needs, of challenge-controller.io: list and delete on challengepools and
challengeinstances in the namespaces served (CHALLENGE_NAMESPACES; in all of them where that is
empty), and list, patch and delete on challengenodes; of coordination.k8s.io: delete on leases in
CHALLENGE_CONTROLLER_NAMESPACE. It must be bound by no agents' admission policy. Of the settings it
reads these two, CHALLENGE_INSTALLATION and CHALLENGE_KUBECONFIG.

The managers' Lease `challenge-manager` is not deleted here: a manager that runs would make it anew.
"""

import asyncio
from typing import Any

import click

from controller import log
from controller.api import values
from controller.cluster.client import Cluster, ConfigurationError
from controller.cluster.errors import ApiError
from controller.flags import settings_flags, settings_of
from controller.manager.uninstall import NotUninstalled, Uninstall
from controller.settings import Settings


def _seconds(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    try:
        seconds = values.parse_duration(value).total_seconds()
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if seconds <= 0:
        raise click.BadParameter("expected more than 0s")
    return seconds


@click.command("uninstall")
@click.option(
    "--timeout",
    metavar="DURATION",
    default="4m",
    show_default=True,
    callback=_seconds,
    help="Wait no longer than this for instances and agents.",
)
@settings_flags
def uninstall(*, timeout: float, **flags: Any) -> None:
    """Delete this installation's pools, instances and nodes, and all that is on its hosts.

    Agents and a manager must run. What cannot be taken away is named; to run it again goes on.
    """
    settings = settings_of(flags)
    log.configure(settings.log_level)
    try:
        asyncio.run(_uninstall(settings, timeout))
    except NotUninstalled as left:
        lines = "".join(f"\n  {line}" for line in str(left).splitlines())
        raise click.ClickException(f"not all of it is uninstalled:{lines}") from None
    except (ApiError, ConfigurationError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"Installation {settings.installation} is uninstalled")


async def _uninstall(settings: Settings, timeout: float) -> None:
    cluster = await Cluster.connect(settings.kubeconfig)
    try:
        await Uninstall(cluster, settings, click.echo, timeout=timeout).run()
    finally:
        await cluster.close()
