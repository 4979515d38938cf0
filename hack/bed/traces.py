"""What instances leave on a node: containers, networks, volumes, firewall rules, held ports.

Taken before and after, two of these tell whether anything leaked. The bridges that instances share
are the node's own and stay while its agent runs, so they and their rules are left out. The agent's
own rules outlive it: they are there before, if it was up by then, and after.
"""

import contextlib
import os
import re
import sqlite3
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hack.bed.bed import Bed
from hack.bed.engine import docker_client
from hack.bed.foreign import INSTALLATION_LABEL
from hack.bed.processes import run

KIND_LABEL = "challenge-controller.io/kind"


@dataclass(frozen=True)
class Traces:
    """What there is on a node at one moment."""

    containers: frozenset[str]
    networks: frozenset[str]
    volumes: frozenset[str]
    rules: frozenset[str]
    ports: frozenset[str]

    def left_over(self, before: "Traces") -> list[str]:
        """A line for each thing that is here and was not before."""
        return [
            f"{field.name.removesuffix('s')} {found}"
            for field in fields(self)
            for found in sorted(getattr(self, field.name) - getattr(before, field.name))
        ]


def take(bed: Bed, controller: str = "controller", number: int = 1) -> Traces:
    """Look now at the node of a controller, which keeps its ledger under its own name."""
    own = {"label": f"{INSTALLATION_LABEL}={bed.state.name}"}
    engine = bed.engine(number)
    with docker_client(engine.url) as client:
        # Nobody else uses an engine of our own, so there nothing at all may be left.
        filters = None if engine.owned else own
        containers = client.containers(all=True, filters=filters)
        networks = client.networks(filters=filters)
        volumes = client.volumes(filters=filters)["Volumes"] or []
    shared = [found for found in networks if (found["Labels"] or {}).get(KIND_LABEL) == "shared"]
    return Traces(
        containers=frozenset(found["Names"][0].lstrip("/") for found in containers),
        networks=frozenset(found["Name"] for found in networks if found not in shared),
        volumes=frozenset(found["Name"] for found in volumes),
        rules=_rules(engine.state.namespace, shared),
        ports=_held_ports(bed.state.folder / "state" / controller / "ledger.db"),
    )


def _rules(namespace: str | None, shared: list[dict[str, Any]]) -> frozenset[str]:
    if namespace is None and os.geteuid() != 0:
        return frozenset()
    enter = ["nsenter", f"--net=/run/netns/{namespace}", "--"] if namespace else []
    text = "".join(run(*enter, f"{name}-save").stdout for name in ("iptables", "ip6tables"))
    names = [word for found in shared for word in _words(found)]
    return frozenset(
        re.sub(r"\[\d+:\d+\]", "", line)
        for line in text.splitlines()
        if line.startswith("-") and not any(name in line for name in names)
    )


def _words(shared: dict[str, Any]) -> list[str]:
    """How a network shows in firewall rules: its link, its subnets."""
    link = (shared["Options"] or {}).get("com.docker.network.bridge.name")
    subnets = [part["Subnet"] for part in shared["IPAM"]["Config"] or []]
    return [*subnets, link or f"br-{shared['Id'][:12]}"]


def _held_ports(ledger: Path) -> frozenset[str]:
    if not ledger.exists():
        return frozenset()
    # Not `mode=ro`: reading a ledger in WAL mode may have to make its shared-memory file.
    with contextlib.closing(sqlite3.connect(ledger, timeout=5.0)) as connection:
        rows = connection.execute("SELECT port, name FROM ports WHERE instance IS NOT NULL")
        return frozenset(f"{port} ({name})" for port, name in rows)
