"""The firewall: an installation's rules in the kernel, put there, looked after, taken away.

Responsible for running iptables. It works in the network namespace that the process is in, which
must be the engine's. It must not decide what is allowed: that is in `rules`.

Rules go in and out in one transaction for each table, so there is no moment at which a packet meets
half of them. What the kernel then shows is remembered: any difference later is somebody else's
doing, and is made good.

Others change the tables at the same time: dockerd takes its jump out and puts it in again with each
network that it makes. A transaction that names a rule that has just gone is refused as a whole, so
it is made again from what is there then.
"""

import asyncio
import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from controller.runtime import rules
from controller.runtime.errors import RuntimeFault
from controller.runtime.rules import Chain, Policy

# The kernel has two sets of rules, and a program for each: ours must be in the one where Docker's
# are, or they would come after it or not at all.
_VARIANTS = ("", "-nft", "-legacy")
_DOCKERS = "DOCKER-USER"
_TABLES = ("filter", "raw")
_SECONDS = 30.0
_PAUSES = (0.1, 0.2, 0.4, 0.8)
"""Seconds before another try; a change of dockerd's takes some 10 ms, on a busy node 100."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HAS_IPV6 = Path("/proc/self/net/if_inet6")
_OFF = "or set CHALLENGE_FIREWALL=off if you keep instances apart from the host by other means"


class FirewallFault(RuntimeFault):
    """The rules cannot be put in force; the text says what to do."""


@dataclass
class _Family:
    """One IP version's rules in the kernel: the program of the variant in use, what it showed."""

    program: str
    shown: dict[tuple[str, str], list[str]] = field(default_factory=dict)


class Firewall:
    """The rules of one installation on this host."""

    def __init__(self, installation: str) -> None:
        """Making one changes nothing."""
        self._installation = installation
        self._ipv4: _Family | None = None
        self._ipv6: _Family | None = None
        self._policy: Policy | None = None
        self._running = asyncio.Lock()

    async def ensure(self, policy: Policy) -> bool:
        """Have the policy's rules in force; whether anything had to be done for it.

        Raises FirewallFault.
        """
        async with self._running:
            return await asyncio.to_thread(self._ensure, policy)

    async def remove(self) -> bool:
        """Take every rule and chain of the installation away; whether there were any.

        Raises FirewallFault.
        """
        async with self._running:
            return await asyncio.to_thread(remove, self._installation)

    def _ensure(self, policy: Policy) -> bool:
        if self._policy != policy:
            self._ipv4 = self._ipv6 = None
        ipv4 = self._ipv4 = self._ipv4 or _Family(_dockers_variant())
        done = _again(lambda: _keep(ipv4, rules.ipv4(policy)))
        if _HAS_IPV6.exists():
            ipv6 = self._ipv6 = self._ipv6 or _Family(ipv4.program.replace("ip", "ip6", 1))
            done = _again(lambda: _keep(ipv6, rules.ipv6(policy))) or done
        self._policy = policy
        return done


def remove(installation: str) -> bool:
    """Take every rule and chain of an installation away, in every variant that there is.

    Returns whether there were any. Raises FirewallFault.
    """
    chains = set(rules.names(installation).values())
    found = False
    for program in _installed(("iptables", "ip6tables")):
        found = _again(partial(_take_away, program, chains)) or found
    return found


def _take_away(program: str, chains: set[str]) -> bool:
    """Take the chains and the rules that lead to them from one variant; whether there were any."""
    lines: list[str] = []
    for table in _TABLES:
        try:
            present = _save(program, table)
        except FirewallFault:
            continue  # a variant that this kernel does not have holds no rules
        jumps = [rule for chain in present for rule in present[chain] if _target(rule, chains)]
        ours = sorted(chains & present.keys())
        if ours:
            lines += _transaction(table, [*_deletions(jumps), *_ends(ours)])
    if lines:
        _restore(program, lines)
    return bool(lines)


def _again(attempt: Callable[[], bool]) -> bool:
    """What the attempt says; a few times, for somebody else may have changed what it built upon.

    Raises FirewallFault when the last one does.
    """
    for pause in _PAUSES:
        try:
            return attempt()
        except FirewallFault:
            time.sleep(pause)
    return attempt()


def _keep(family: _Family, chains: Sequence[Chain]) -> bool:
    """Put the chains in place if they are not as they were left; whether that was needed."""
    present = {table: _save(family.program, table) for table in _tables(chains)}
    if family.shown and _as_left(family.shown, chains, present):
        return False
    lines: list[str] = []
    for table in present:
        wanted = [chain for chain in chains if chain.table == table]
        if not _anchored(wanted, present[table]):
            forward = [rule for rule in present[table]["FORWARD"] if _target(rule, {_DOCKERS})]
            lines += _transaction(table, [*_deletions(forward), f"-I FORWARD -j {_DOCKERS}"])
        # To name a chain here is to make it, or to empty it.
        body = [f":{chain.name} - [0:0]" for chain in wanted]
        for chain in wanted:
            body += [f"-A {chain.name} {rule}" for rule in chain.rules]
            if chain.parent:
                body += _deletions(_jumps(present[table], chain))
                body.append(chain.jump.replace("-A", "-I", 1))
        lines += _transaction(table, body)
    _restore(family.program, lines)
    after = {table: _save(family.program, table) for table in present}
    shown = {(c.table, c.name): after[c.table].get(c.name, []) for c in chains}
    if not _as_left(shown, chains, after):
        raise FirewallFault(
            f"{family.program} took the rules and does not show them: another program changes the "
            "firewall of this host at the same time; have it leave chains CHALLENGE-… alone"
        )
    family.shown = shown
    return True


def _as_left(
    shown: Mapping[tuple[str, str], list[str]],
    chains: Sequence[Chain],
    present: Mapping[str, dict[str, list[str]]],
) -> bool:
    """Whether all chains are as they were left, and are asked before any other rule."""
    if not _anchored(chains, present["filter"]):
        return False
    for chain in chains:
        table = present[chain.table]
        if table.get(chain.name) != shown[chain.table, chain.name]:
            return False
        if chain.parent is None:
            continue
        own = _jumps(table, chain)
        # Other installations' chains may come first: they are asked about other bridges.
        first = [rule for rule in table.get(chain.parent, []) if rules.CHAIN_PREFIX in rule]
        if len(own) != 1 or table[chain.parent][: len(first)] != first:
            return False
    return True


def _anchored(chains: Sequence[Chain], table: dict[str, list[str]]) -> bool:
    """Whether Docker's chain for others, if ours hang there, is the first that FORWARD asks.

    Docker sees to it each time that it makes a network; until then a program that puts its own
    rules before it (a cluster's network, say) would let through what ours refuse.
    """
    if not any(chain.parent == _DOCKERS for chain in chains):
        return True
    forward = table.get("FORWARD", [])
    return bool(forward) and _target(forward[0], {_DOCKERS})


def _jumps(table: dict[str, list[str]], chain: Chain) -> list[str]:
    return [rule for rule in table.get(chain.parent or "", []) if _target(rule, {chain.name})]


def _target(rule: str, chains: set[str]) -> bool:
    """Whether the rule leads from outside to one of the chains."""
    words = rule.split()
    return words[-1] in chains and words[-2] == "-j" and words[1] not in chains


def _deletions(jumps: Iterable[str]) -> list[str]:
    return [rule.replace("-A", "-D", 1) for rule in jumps]


def _ends(chains: Sequence[str]) -> list[str]:
    return [f"-F {chain}" for chain in chains] + [f"-X {chain}" for chain in chains]


def _transaction(table: str, body: Iterable[str]) -> list[str]:
    return [f"*{table}", *body, "COMMIT"]


def _tables(chains: Sequence[Chain]) -> list[str]:
    return list(dict.fromkeys(chain.table for chain in chains))


def _dockers_variant() -> str:
    """The program that shows Docker's own chain."""
    installed = _installed(("iptables",))
    if not installed:
        raise FirewallFault(
            "The program iptables is not there, with which instances are kept from the host: "
            f"install it beside the agent, {_OFF}"
        )
    refused = ""
    for program in installed:
        try:
            if _DOCKERS in _save(program, "filter"):
                return program
        except FirewallFault as fault:
            refused = refused or fault.message
    raise FirewallFault(
        refused
        or f"There is no chain {_DOCKERS} in this network namespace: run the agent in its engine's "
        f"(hostNetwork), and dockerd with iptables on (the default), {_OFF}"
    )


def _installed(programs: Iterable[str]) -> list[str]:
    names = [f"{program}{variant}" for program in programs for variant in _VARIANTS]
    return [name for name in names if shutil.which(f"{name}-restore", path=_PATH)]


def _save(program: str, table: str) -> dict[str, list[str]]:
    """A table's rules by their chain, in order, a line each as the program prints them."""
    found: dict[str, list[str]] = {}
    for line in _run([f"{program}-save", "-t", table], program).splitlines():
        if line.startswith(":"):
            found[line[1:].split()[0]] = []
        elif line.startswith("-A "):
            found.setdefault(line.split()[1], []).append(line)
    return found


def _restore(program: str, lines: Sequence[str]) -> None:
    # Wait for the lock that others hold; leave everything that is not named as it is.
    command = [f"{program}-restore", "--wait=10", "--noflush"]
    _run(command, program, stdin="\n".join([*lines, ""]))


def _run(command: list[str], program: str, stdin: str = "") -> str:
    where = shutil.which(command[0], path=_PATH)
    if where is None:
        raise FirewallFault(f"The program {command[0]} is not there: install iptables, {_OFF}")
    problem = f"no answer within {_SECONDS:g} s"
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            [where, *command[1:]],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            env={"PATH": _PATH, "LC_ALL": "C"},
        )
        if done.returncode == 0:
            return done.stdout
        problem = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
    raise FirewallFault(
        f"{program} failed: {problem}. The agent needs root and the capability NET_ADMIN in its "
        f"engine's network namespace (hostNetwork); give it these, {_OFF}"
    )
