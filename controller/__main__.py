"""The command ``challenge-controller``: the roles agent, manager and all, and tools beside them.

Reads the settings, starts the roles, and turns what an operator must put right into one line on
standard error and an exit code: 2 for a wrong setting, 1 for anything else.
"""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

import click

from controller import __version__, log, metrics
from controller.agent import run as agent_run
from controller.agent.identity import IdentityMismatch
from controller.agent.lock import AlreadyRunning
from controller.api.crd import manifests
from controller.callmetrics import ApiMetrics
from controller.cli.selftest import selftest
from controller.cluster import signals
from controller.cluster.client import Cluster, ConfigurationError
from controller.cluster.errors import ApiError
from controller.cluster.lease import HeldElsewhere
from controller.firewall_cli import firewall
from controller.flags import settings_flags, settings_of
from controller.health import Health
from controller.ledger import LedgerError
from controller.ledger_cli import ledger
from controller.manager import run as manager_run
from controller.reconcile.startup import NothingMatches
from controller.settings import Settings
from controller.uninstall_cli import uninstall

OPERATOR_ERRORS = (
    AlreadyRunning,
    ApiError,
    ConfigurationError,
    HeldElsewhere,
    IdentityMismatch,
    metrics.CannotServe,
    LedgerError,
    NothingMatches,
    OSError,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="challenge-controller")
def main() -> None:
    """Give every player of a CTF or course a private running copy of a challenge."""


def _role(name: str, text: str) -> None:
    @main.command(name, help=text)
    @settings_flags
    def command(**flags: Any) -> None:
        settings = settings_of(flags)
        log.configure(settings.log_level)
        sys.exit(asyncio.run(_serve(name, settings)))


_role("all", "Run agent and manager in one process, for one machine.")
_role("agent", "Serve this host's Docker engine: launch, probe and remove its instances.")
_role("manager", "Place instances on nodes, and delete those whose time is over.")


main.add_command(ledger)
main.add_command(firewall)
main.add_command(uninstall)
main.add_command(selftest)


@main.command()
def crds() -> None:
    """Print the CustomResourceDefinitions, for kubectl apply."""
    click.echo("---\n".join(manifests().values()), nl=False)


async def _serve(role: str, settings: Settings) -> int:
    """Run a role until SIGTERM or SIGINT; the result is the exit code."""
    stop = asyncio.Event()
    signals.on_stop(stop.set)
    try:
        cluster = await Cluster.connect(settings.kubeconfig)
    except ConfigurationError as error:
        click.echo(f"Error: {error}", err=True)
        return 1
    try:
        health = Health()
        return await _until(stop, _roles(role, settings, cluster, health), health)
    finally:
        await cluster.close()


def _roles(
    role: str, settings: Settings, cluster: Cluster, health: Health
) -> dict[str, Coroutine[Any, Any, None]]:
    """The parts of the process by name."""
    # One machine's "all" is the same holder after a crash, so it need not wait for itself.
    identity = f"all on {settings.node_name}" if role == "all" else None
    registry = metrics.registry()
    cluster.observe = ApiMetrics(registry).observe
    parts = {"turns of the event loop": health.keep()}
    if role in ("all", "agent"):
        parts["agent"] = agent_run.run(settings, cluster, registry, health)
    if role in ("all", "manager"):
        parts["manager"] = manager_run.run(settings, cluster, identity, registry, health)
    if settings.metrics_port:
        address, port = settings.metrics_address, settings.metrics_port
        parts["metrics"] = metrics.serve(registry, health, address, port)
    return parts


async def _until(
    stop: asyncio.Event, parts: dict[str, Coroutine[Any, Any, None]], health: Health
) -> int:
    tasks = [asyncio.create_task(part) for part in parts.values()]
    for name, part in zip(parts, tasks, strict=True):
        health.part(name, part)
    stopped = asyncio.create_task(stop.wait())
    ended, _ = await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
    code = 0
    if stopped not in ended and all(task.exception() is None for task in ended):
        click.echo("Error: a part of the controller ended by itself", err=True)
        code = 1
    for task in (*tasks, stopped):
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, asyncio.CancelledError) or outcome is None:
            continue
        code = 1
        for error in _leaves(outcome):
            if not isinstance(error, OPERATOR_ERRORS):
                raise error
            click.echo(f"Error: {error}", err=True)
    return code


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


if __name__ == "__main__":
    main()
