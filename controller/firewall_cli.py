"""The operator's hand on a node's firewall: `challenge-controller firewall …`.

Responsible for showing the rules, for putting them in force without an agent (at boot, say), and
for taking them away when the controller is uninstalled. It works in the network namespace that it
is called in: the engine's.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import click

from controller.agent.firewall import policy
from controller.flags import settings_flags, settings_of
from controller.runtime import labels, rules
from controller.runtime.firewall import Firewall, FirewallFault
from controller.runtime.rules import Chain


@click.group("firewall")
def firewall() -> None:
    """Show, set or remove the rules that keep instances apart on this host."""


def _carry_out(act: Callable[[], Any]) -> Any:
    try:
        return asyncio.run(act())
    except FirewallFault as fault:
        raise click.ClickException(fault.message) from fault


@firewall.command("show")
@settings_flags
def show(**flags: Any) -> None:
    """Print the rules as iptables would have them; nothing is changed."""
    wanted = policy(settings_of(flags))
    for program, chains in (("iptables", rules.ipv4(wanted)), ("ip6tables", rules.ipv6(wanted))):
        for line in _commands(program, chains):
            click.echo(line)


@firewall.command("apply")
@settings_flags
def apply(**flags: Any) -> None:
    """Put the rules in force now; an agent does so by itself."""
    settings = settings_of(flags)
    done = _carry_out(lambda: Firewall(settings.installation).ensure(policy(settings)))
    click.echo(f"The rules of installation {settings.installation} are {'set' if done else 'in'}")


@firewall.command("remove")
@click.option("--force", is_flag=True, help="Also while networks of instances are there.")
@settings_flags
def remove(*, force: bool, **flags: Any) -> None:
    """Take the rules away, for good: when the controller is uninstalled."""
    settings = settings_of(flags)
    begin = labels.bridges(settings.installation)
    bridges = sorted(name for _, name in socket.if_nameindex() if name.startswith(begin))
    if bridges and not force:
        raise click.ClickException(
            f"Networks of installation {settings.installation} are still there, and nothing would "
            f"keep what is on them from this host: {', '.join(bridges)}. Delete the instances "
            "first, or say --force"
        )
    done = _carry_out(Firewall(settings.installation).remove)
    text = "removed" if done else "not there"
    click.echo(f"The rules of installation {settings.installation} are {text}")


def _commands(program: str, chains: tuple[Chain, ...]) -> list[str]:
    lines = [f"{program} -t {chain.table} -N {chain.name}" for chain in chains]
    for chain in chains:
        lines += [f"{program} -t {chain.table} -A {chain.name} {rule}" for rule in chain.rules]
    return lines + [
        f"{program} -t {chain.table} {chain.jump.replace('-A', '-I', 1)}"
        for chain in chains
        if chain.parent
    ]
