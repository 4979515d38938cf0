"""What there must be on a node and in the API server for each instance, and every difference.

Responsible for one look at everything that the product makes: objects, containers, networks,
volumes, folders, firewall rules, ports, rows. It changes nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import docker.errors

from controller.api.meta import FINALIZER
from controller.ledger import Instance, LedgerReader
from controller.runtime import labels, rules
from hack.bed.bed import Bed
from hack.bed.engine import docker_client
from hack.bed.errors import BedError
from hack.bed.instances import Endpoint, ask
from hack.bed.inventory import doors, run_beside
from tests.faults.users import Object, User

FLAG: Final = "identity/front/flag"
"""Where the flag is in an instance's folder."""


@dataclass(frozen=True)
class Copy:
    """An instance of `tests.faults.sweeping`, and how it is to be."""

    name: str
    uid: str
    state: Literal["up", "suspended"] = "up"


@dataclass(frozen=True)
class Seen:
    """What there is, of one instance or in all; networks by name with the containers on them."""

    objects: Mapping[str, Object]
    containers: Mapping[str, Object]
    networks: Mapping[str, set[str]]
    volumes: set[str]
    folders: set[str]
    rows: Mapping[str, Instance]
    subnets: Mapping[str, str]
    held: set[int]
    forwarded: set[int]
    problems: list[str]


@dataclass(frozen=True)
class Place:
    """Where to look: a node of a bed, its agent's state folder, and who asks the API server."""

    bed: Bed
    user: User
    state_dir: Path

    def differences(self, *wanted: Copy, only: str = "") -> list[str]:
        """Everything that is not as it is for these instances, a line each.

        With `only`, a uid, what is of others does not count: they may be on their way.
        """
        seen = self._look(only)
        found = list(_objects(seen, wanted))
        for copy in wanted:
            if copy.uid in seen.objects:
                found += self._of(seen, copy)
        return found + list(_things(seen, wanted)) + list(_ports(seen, wanted, only))

    def runs(self, copy: Copy) -> dict[str, str]:
        """Since when each of the instance's containers has run, by its id."""
        seen = self._look(copy.uid).containers.values()
        return {each["Id"]: each["State"]["StartedAt"] for each in seen}

    def firewall(self) -> list[str]:
        """The rules of the installation's own chains, and those that lead to them."""
        chains = rules.names(self.bed.state.name).values()
        lines = self._on_the_node("iptables-save").splitlines()
        return [line for line in lines if any(chain in line for chain in chains) and line[0] == "-"]

    def _of(self, seen: Seen, copy: Copy) -> Iterator[str]:
        yield from _status(seen, copy)
        if copy.state == "up":
            yield from _answers(seen.objects[copy.uid])
        folder = self.state_dir / "instances" / copy.uid
        flag = f"flag-of-{copy.name}"
        for place in (folder / FLAG, _inside(seen, copy) / "run/challenge/flag"):
            with suppress(OSError):
                if place.read_text() == flag:
                    continue
            yield f"{copy.name}: {place} does not hold its flag"

    def _look(self, only: str) -> Seen:
        with docker_client(self.bed.docker_host) as client:
            mark = f"{labels.INSTALLATION}={self.bed.state.name}"
            listed = client.containers(all=True, filters={"label": mark})
            mine = [each for each in listed if only in each["Labels"][labels.INSTANCE_UID]]
            inspected = _inspected(client.inspect_container, mine)
            networks = _inspected(client.inspect_network, client.networks(filters={"label": mark}))
            volumes = {each["Name"] for each in client.volumes()["Volumes"] or []}
        with LedgerReader.open_read_only(self.state_dir / "ledger.db") as ledger:
            everything = ledger.everything()
            problems = [str(problem) for problem in ledger.check()]
        rows = {row.uid: row for row in everything.instances if only in row.uid}
        subnets = {each.owner: str(each.subnet) for each in everything.subnets}
        folders = {path.name for path in (self.state_dir / "instances").glob("*")}
        usage = everything.usage
        held = {port for row in everything.instances for port in row.ports.values()}
        if usage.reserved + usage.confirmed != len(held):
            problems.append(f"the ledger counts {usage}, and its rows hold {sorted(held)}")
        return Seen(
            objects={
                each["metadata"]["uid"]: each
                for each in self.user.instances()
                if only in each["metadata"]["uid"]
            },
            containers={each["Name"].removeprefix("/"): each for each in inspected},
            networks={
                each["Name"]: {end["Name"] for end in (each["Containers"] or {}).values()}
                for each in networks
                if not only or _subnet(each) == subnets.get(only)
            },
            volumes={name for name in volumes if only in name},
            folders={name for name in folders if only in name},
            rows=rows,
            subnets={uid: subnet for uid, subnet in subnets.items() if only in uid},
            held=held,
            forwarded=self._forwarded(),
            problems=problems,
        )

    def _forwarded(self) -> set[int]:
        """The host ports that the engine forwards to containers, as the kernel has them."""
        return set(doors(self._on_the_node("iptables-save", "-t", "nat")))

    def _on_the_node(self, *words: str) -> str:
        return run_beside(self.bed.node().engine.namespace, *words)


def _inspected(inspect: Callable[[str], Object], listed: list[Object]) -> list[Object]:
    """Those that are still there."""
    found = []
    for each in listed:
        with suppress(docker.errors.NotFound):
            found.append(inspect(each["Id"]))
    return found


def _objects(seen: Seen, wanted: tuple[Copy, ...]) -> Iterator[str]:
    missing = {copy.uid for copy in wanted} - seen.objects.keys()
    further = seen.objects.keys() - {copy.uid for copy in wanted}
    yield from (f"no object of {uid}" for uid in missing)
    yield from (f"an object too many: {_text(seen.objects[uid])}" for uid in further)


def _status(seen: Seen, copy: Copy) -> Iterator[str]:
    read = seen.objects[copy.uid]
    meta, status = read["metadata"], read["status"]
    told = {each["type"]: each["status"] for each in status.get("conditions", [])}
    expected = dict.fromkeys(("Scheduled", "PortsReserved", "Launched"), "True")
    expected["Ready" if copy.state == "up" else "Suspended"] = "True"
    if told != expected:
        yield f"{copy.name}: the conditions are {told}, not {expected}"
    if status.get("observedGeneration") != meta["generation"]:
        yield f"{copy.name}: the status is about an earlier generation"
    if meta.get("finalizers") != [FINALIZER]:
        yield f"{copy.name}: the finalizers are {meta.get('finalizers')}"
    state = "running" if copy.state == "up" else "paused"
    names = {labels.container_name(copy.uid, each): state for each in ("front", "back")}
    found = {
        name: each["State"]["Status"] for name, each in seen.containers.items() if copy.uid in name
    }
    if found != names:
        yield f"{copy.name}: the containers are {found}, not {names}"
    restarts = [each.get("restartCount", 0) for each in status.get("containers", [])]
    if restarts != [0, 0]:
        yield f"{copy.name}: its containers were restarted {restarts} times"
    ports = {each["name"]: each["hostPort"] for each in status.get("ports", [])}
    row = seen.rows.get(copy.uid)
    bound = _bound(seen, copy)
    if row is None or dict(row.ports) != ports or set(ports.values()) != bound:
        yield f"{copy.name}: the status tells {ports}, bound is {sorted(bound)}, the row is {row}"
    elif not row.is_finalized:
        yield f"{copy.name}: its row is not finalized"


def _things(seen: Seen, wanted: tuple[Copy, ...]) -> Iterator[str]:
    """Exactly the expected containers, networks, volumes, folders, subnets and rows."""
    uids = {copy.uid for copy in wanted}
    pairs: list[tuple[str, set[str], set[str]]] = [
        (
            "containers",
            set(seen.containers),
            {labels.container_name(uid, name) for uid in uids for name in ("front", "back")},
        ),
        ("volumes", seen.volumes, {labels.volume_name(uid, "scratch") for uid in uids}),
        ("folders", seen.folders, uids),
        ("rows", set(seen.rows), uids),
        ("owners of subnets", set(seen.subnets), uids),
    ]
    for what, found, expected in pairs:
        if found != expected:
            yield f"{what}: {sorted(found)}, not {sorted(expected)}"
    on_networks = sorted(sorted(ends) for ends in seen.networks.values())
    expected_ends = sorted(
        sorted(labels.container_name(uid, name) for name in ("front", "back")) for uid in uids
    )
    if on_networks != expected_ends:
        yield f"networks: {dict(seen.networks)}, not one each of {expected_ends}"
    yield from seen.problems


def _ports(seen: Seen, wanted: tuple[Copy, ...], only: str) -> Iterator[str]:
    """Ports are held and forwarded by those who run, and by nobody else."""
    expected = {port for copy in wanted if copy.uid in seen.rows
                for port in seen.rows[copy.uid].ports.values()}  # fmt: skip
    if only:
        if not expected <= seen.forwarded:
            yield f"the kernel forwards {sorted(seen.forwarded)}, which lacks {sorted(expected)}"
    elif not seen.held == seen.forwarded == expected:
        yield (
            f"held are {sorted(seen.held)}, forwarded {sorted(seen.forwarded)}, "
            f"expected {sorted(expected)}"
        )


def _bound(seen: Seen, copy: Copy) -> set[int]:
    """The host ports that the instance's containers have."""
    return {
        int(bound["HostPort"])
        for name, each in seen.containers.items()
        if copy.uid in name
        for bounds in (each["NetworkSettings"]["Ports"] or {}).values()
        for bound in bounds or []
    }


def _answers(read: Object) -> Iterator[str]:
    """Each port answers, as this very instance, and its front finds its own back."""
    meta, status = read["metadata"], read["status"]
    for port in status.get("ports", []):
        host, _, number = port["endpoint"].rpartition(":")
        is_http = port["name"] == "http"
        try:
            ask(Endpoint(meta["name"], meta["uid"], port["name"], host, int(number), is_http))
        except BedError as error:
            yield str(error)


def _inside(seen: Seen, copy: Copy) -> Path:
    """The root of the front's file system, as its process has it."""
    front = seen.containers.get(labels.container_name(copy.uid, "front"))
    return Path(f"/proc/{front['State']['Pid'] if front else 'none'}/root")


def _subnet(network: Object) -> str | None:
    configs: list[dict[str, Any]] = (network.get("IPAM") or {}).get("Config") or [{}]
    return configs[0].get("Subnet")


def _text(read: Object) -> str:
    meta = read["metadata"]
    return f"{meta['name']}, {meta.get('deletionTimestamp') or 'not deleted'}"
