"""What there is of instances on a node at one moment: in its engine, its ledger, its folders.

It only looks. What of it should be there is for the audit to say.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.ledger import Instance, LedgerReader
from controller.runtime import labels
from hack.bed.bed import Bed
from hack.bed.engine import docker_client
from hack.bed.foreign import INSTALLATION_LABEL
from hack.bed.processes import run

DOCKERS_DOOR = re.compile(r"-A DOCKER .*-p (\w+) .*--dport (\d+) -j DNAT")
CONTAINERS_TIMEOUT = 30


@dataclass(frozen=True)
class FoundContainer:
    """A container: whose it is, its state in the engine's words, the host ports it publishes."""

    name: str
    uid: str
    state: str
    ports: frozenset[int] = frozenset()
    network: str = ""


@dataclass(frozen=True)
class FoundNetwork:
    """A network of ours; `kind` is `shared` or `instance`."""

    name: str
    kind: str
    subnet: str
    bridge: str = ""


@dataclass(frozen=True)
class Inventory:
    """All that there is of instances on one node."""

    node: str
    address: str = ""
    containers: tuple[FoundContainer, ...] = ()
    networks: tuple[FoundNetwork, ...] = ()
    volumes: Mapping[str, str] = field(default_factory=dict)
    """The uid of each volume, by its name; empty for one that is not ours."""
    folders: frozenset[str] = frozenset()
    rows: tuple[Instance, ...] = ()
    subnets: Mapping[str, str] = field(default_factory=dict)
    """The owner of each subnet in the ledger."""
    ports_held: int = 0
    problems: tuple[str, ...] = ()
    doors: frozenset[int] = frozenset()
    """Host ports that the firewall leads to a container."""
    bridges_in_rules: frozenset[str] = frozenset()
    """Bridges of ours that a firewall rule names in full."""


def look(bed: Bed, number: int, state_dir: Path) -> Inventory:
    """Look at a node whose agent keeps its ledger in `state_dir`.

    Raises BedError, docker.errors.DockerException, requests.RequestException, LedgerUnavailable or
    LedgerCorrupt when something of it cannot be read.
    """
    node, engine = bed.node(number), bed.engine(number)
    own = {"label": f"{INSTALLATION_LABEL}={bed.state.name}"}
    with docker_client(engine.url, timeout=CONTAINERS_TIMEOUT) as client:
        # Nobody else uses an engine of our own: whatever is there, somebody has left.
        filters = None if engine.owned else own
        containers = client.containers(all=True, filters=filters)
        networks = client.networks(filters=own)
        volumes = client.volumes(filters=filters)["Volumes"] or []
    doors, bridges = _rules(engine.state.namespace)
    with LedgerReader.open_read_only(state_dir / "ledger.db") as ledger:
        usage = ledger.usage()
        return Inventory(
            node=node.name,
            address=node.address,
            containers=tuple(_container(found) for found in containers),
            networks=tuple(_network(found) for found in networks),
            volumes={each["Name"]: _uid(each["Labels"]) for each in volumes},
            folders=frozenset(path.name for path in (state_dir / "instances").glob("*")),
            rows=tuple(ledger.instances()),
            subnets={str(held.subnet): held.owner for held in ledger.subnets()},
            ports_held=usage.reserved + usage.confirmed,
            problems=tuple(f"{each.kind}: {each.detail}" for each in ledger.check()),
            doors=doors,
            bridges_in_rules=bridges,
        )


def _uid(marks: Mapping[str, str] | None) -> str:
    return (marks or {}).get(labels.INSTANCE_UID, "")


def _container(found: dict[str, Any]) -> FoundContainer:
    return FoundContainer(
        name=(found["Names"] or ["/?"])[0].lstrip("/"),
        uid=_uid(found["Labels"]),
        state=found["State"],
        ports=frozenset(port["PublicPort"] for port in found["Ports"] if port.get("PublicPort")),
        network=next(iter(found["NetworkSettings"]["Networks"]), ""),
    )


def _network(found: dict[str, Any]) -> FoundNetwork:
    return FoundNetwork(
        name=found["Name"],
        kind=(found["Labels"] or {}).get(labels.NETWORK_KIND, ""),
        subnet=next((part["Subnet"] for part in found["IPAM"]["Config"] or []), ""),
        bridge=(found["Options"] or {}).get("com.docker.network.bridge.name", ""),
    )


def _rules(namespace: str | None) -> tuple[frozenset[int], frozenset[str]]:
    """The ports that Docker leads to containers, and the bridges that any rule names."""
    if namespace is None and os.geteuid() != 0:
        return frozenset(), frozenset()
    text = "".join(run_beside(namespace, f"{name}-save") for name in ("iptables", "ip6tables"))
    return doors(text), named_bridges(text)


def run_beside(namespace: str | None, *words: str) -> str:
    """What a command prints in an engine's network namespace; None: this machine's own."""
    enter = ["nsenter", f"--net=/run/netns/{namespace}", "--"] if namespace else []
    return run(*enter, *words).stdout


def doors(rules: str) -> frozenset[int]:
    """The host ports that the rules, as `iptables-save` prints them, lead to containers."""
    found = (DOCKERS_DOOR.search(line) for line in rules.splitlines())
    return frozenset(int(each.group(2)) for each in found if each)


def named_bridges(rules: str) -> frozenset[str]:
    """The bridges of ours that a rule names in full, not by how their names begin."""
    found = (re.findall(r"(?:-i|-o) (chal-[\w+]+)", line) for line in rules.splitlines())
    return frozenset(name for names in found for name in names if not name.endswith("+"))
