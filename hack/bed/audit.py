"""The audit: whether all that should be there is, once, answers as itself, and nothing else is.

`judge` is pure; `audit` looks at everything of a bed, and asks each port whose it is. A finding is
a line of words; none means that nothing was lost, nothing collides and nothing leaks.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from controller.ledger import Instance as Row
from controller.runtime import labels
from hack.bed.errors import BedError
from hack.bed.instances import Endpoint, ask, endpoints_of
from hack.bed.inventory import FoundContainer, Inventory

Object = dict[str, Any]

LATE = timedelta(seconds=30)
"""How long an instance may still be there after its time is over."""
SPARE_NETWORKS = 16
"""Networks of instances that have gone which a node may keep for the next ones, by default."""
ASKERS = 4


@dataclass(frozen=True)
class Wanted:
    """An instance that somebody has created and not deleted, and what it should be."""

    namespace: str
    name: str
    uid: str
    state: str = "Ready"
    """`Ready` or `Suspended`."""
    lives_until: datetime | None = None
    """No earlier than this may its time be over; None when it may be over already, or never is."""
    may_be_gone: bool = False
    """Whether it lives so short that it may have gone by itself."""


def judge(
    objects: Sequence[Object],
    nodes: Sequence[Inventory],
    wanted: Iterable[Wanted],
    *,
    now: datetime | None = None,
) -> list[str]:
    """What is wrong with these instances on these nodes; empty when all is as wanted."""
    now = now or datetime.now(UTC)
    found = list(_against_wishes(objects, wanted))
    for each in objects:
        found += [f"{_title(each)} {text}" for text in _instance(each, nodes, now)]
    found += collisions(objects)
    for node in nodes:
        here = [each for each in objects if _status(each).get("nodeName") == node.node]
        found += [f"{node.node}: {text}" for text in _node(node, here)]
    return found


def endpoints_ready(objects: Iterable[Object]) -> list[Endpoint]:
    """The ports of those objects that are Ready."""
    ready = (each for each in objects if condition(each, "Ready").get("status") == "True")
    return [endpoint for each in ready for endpoint in endpoints_of(each)]


def unanswered(asked: Sequence[Endpoint]) -> list[str]:
    """Ask each port whose it is, and tell of those that do not answer as the one they are."""

    def problem(endpoint: Endpoint) -> str:
        try:
            ask(endpoint)
        except BedError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(ASKERS) as pool:
        return [text for text in pool.map(problem, asked) if text]


def condition(found: Object, kind: str) -> Mapping[str, Any]:
    """A condition of an object; empty when it has none of that type."""
    conditions: list[dict[str, Any]] = _status(found).get("conditions") or []
    return next((each for each in conditions if each["type"] == kind), {})


# -- what was asked for ----------------------------------------------------------------------------


def _against_wishes(objects: Sequence[Object], wanted: Iterable[Wanted]) -> Iterator[str]:
    there = {each["metadata"]["uid"]: each for each in objects}
    wishes = {wish.uid: wish for wish in wanted}
    for uid, wish in wishes.items():
        name = f"{wish.namespace}/{wish.name} ({uid})"
        if uid in there:
            yield from (f"{name} {text}" for text in _against(there[uid], wish))
        elif not wish.may_be_gone:
            yield f"{name} is lost: nobody has deleted it, and its time is not over"
    for uid in there.keys() - wishes.keys():
        yield f"{_title(there[uid])} is still there, and was deleted"


def _against(found: Object, wish: Wanted) -> Iterator[str]:
    is_suspended = condition(found, "Suspended").get("status") == "True"
    if wish.state == "Suspended" and not is_suspended and not wish.may_be_gone:
        yield f"should be suspended: {_said(found)}"
    if wish.state == "Ready" and is_suspended:
        yield "is suspended, and nobody wants it to be"
    end = _status(found).get("expirationTime")
    if wish.lives_until and (end is None or _time(end) < wish.lives_until):
        yield f"was renewed until {wish.lives_until:%H:%M:%S} and ends at {end}"


# -- one instance ----------------------------------------------------------------------------------


def _instance(found: Object, nodes: Sequence[Inventory], now: datetime) -> Iterator[str]:
    meta, status = found["metadata"], _status(found)
    if since := meta.get("deletionTimestamp"):
        yield f"is being deleted since {since} and held by {meta.get('finalizers')}"
        return
    end = status.get("expirationTime")
    retained = found["spec"].get("onExpiry") == "Retain"
    if end and _time(end) + LATE < now and not retained:
        yield f"should have ended at {end}"
    if condition(found, "Expired").get("status") == "True":
        yield from _nothing_of(meta["uid"], nodes)
        return
    suspended = bool(found["spec"].get("suspended"))
    kind = "Suspended" if suspended else "Ready"
    if condition(found, kind).get("status") != "True":
        yield f"is not {kind}: {_said(found)}"
        return
    if status.get("observedGeneration") != meta.get("generation"):
        yield f"shows generation {status.get('observedGeneration')} of {meta.get('generation')}"
    home = next((node for node in nodes if node.node == status.get("nodeName")), None)
    if home is None:
        yield f"is {kind} on no node that there is: {status.get('nodeName')}"
        return
    yield from _at_home(found, home, "paused" if suspended else "running")


def _at_home(found: Object, home: Inventory, state: str) -> Iterator[str]:
    """Its containers, its row and its ports agree, on its node."""
    uid, status = found["metadata"]["uid"], _status(found)
    names = [part["name"] for part in (status.get("template") or {}).get("containers", [])]
    expected = Counter((labels.container_name(uid, name), state) for name in names)
    mine = [each for each in home.containers if each.uid == uid]
    there = Counter((each.name, each.state) for each in mine)
    for name, is_state in sorted((expected - there).keys()):
        yield f"has no container {name} that is {is_state} on {home.node}: {_states(mine)}"
    for name, is_state in sorted((there - expected).keys()):
        yield f"has a container {name} too many on {home.node}, which is {is_state}"
    told = {port["name"]: port["hostPort"] for port in status.get("ports") or []}
    row = next((each for each in home.rows if each.uid == uid), None)
    if row is None:
        yield f"has no row in the ledger of {home.node}"
        return
    if dict(row.ports) != told:
        yield f"tells of ports {told}, the ledger of {home.node} of {dict(row.ports)}"
    if state == "running" and not row.is_finalized:
        yield f"is not finalized in the ledger of {home.node}"
    published = frozenset(port for each in mine for port in each.ports)
    if published != frozenset(told.values()):
        yield f"tells of ports {sorted(told.values())}, its containers have {sorted(published)}"


def _nothing_of(uid: str, nodes: Sequence[Inventory]) -> Iterator[str]:
    for node in nodes:
        if any(each.uid == uid for each in node.containers):
            yield f"has expired and has containers on {node.node}"
        if any(row.uid == uid for row in node.rows):
            yield f"has expired and has a row in the ledger of {node.node}"


def collisions(objects: Sequence[Object]) -> Iterator[str]:
    """A line for each port that two instances say is theirs."""
    claims: dict[tuple[str, int], list[str]] = defaultdict(list)
    for each in objects:
        for endpoint in endpoints_of(each):
            claims[endpoint.host, endpoint.port].append(_title(each))
    for (host, port), who in claims.items():
        if len(who) > 1:
            yield f"{host}:{port} collides: it is told by {' and '.join(sorted(who))}"


# -- one node --------------------------------------------------------------------------------------


def _node(node: Inventory, here: Sequence[Object]) -> Iterator[str]:
    """What is on a node and belongs to none of the instances that are there."""
    uids = {each["metadata"]["uid"] for each in here}
    for container in node.containers:
        if container.uid not in uids:
            yield f"container {container.name} ({container.state}) belongs to no instance here"
    for name, uid in node.volumes.items():
        if uid not in uids:
            yield f"volume {name} belongs to no instance here"
    for name in sorted(node.folders - uids):
        yield f"folder {name} belongs to no instance here"
    for row in node.rows:
        if row.uid not in uids:
            yield f"row of {_row(row)} belongs to no instance here"
    yield from _networks(node)
    held = sum(len(row.ports) for row in node.rows)
    if node.ports_held != held:
        yield f"{node.ports_held} ports are held, {held} of them by instances"
    held_by_rows = {port for row in node.rows for port in row.ports.values()}
    for port in sorted(_unpublished(node) & held_by_rows):
        yield f"firewall rule for port {port}, which is an instance's and no container publishes"
    yield from (f"ledger: {problem}" for problem in node.problems)


def engine_remains(nodes: Collection[Inventory]) -> list[str]:
    """Ports that an engine maps to no container and no instance has, and rules for no network.

    They are dockerd's own, which loses track of them when it is killed in the middle of a start
    (20.10: it maps an endpoint's ports again, then logs "Removing stale endpoint", and keeps them)
    or of a network's removal. It gives such a port to nobody until it is started again, so no
    instance can have it either. Our own rules name no bridge alone.
    """
    rules = [
        f"{node.node}: dockerd has a firewall rule for bridge {bridge}, which no network has"
        for node in nodes
        for bridge in sorted(node.bridges_in_rules - {each.bridge for each in node.networks})
    ]
    return rules + [
        f"{node.node}: dockerd maps port {port} to no container"
        for node in nodes
        for port in sorted(
            _unpublished(node) - {port for row in node.rows for port in row.ports.values()}
        )
    ]


def _unpublished(node: Inventory) -> frozenset[int]:
    """Ports that the firewall leads to a container which there is not."""
    return node.doors - {port for each in node.containers for port in each.ports}


def _networks(node: Inventory) -> Iterator[str]:
    rows = {row.uid for row in node.rows}
    for subnet, owner in node.subnets.items():
        if owner not in rows:
            yield f"subnet {subnet} belongs to {owner}, which has no row"
    used = {each.network for each in node.containers}
    own = [network for network in node.networks if network.kind == labels.KIND_INSTANCE]
    spare = [each for each in own if each.subnet not in node.subnets and each.name not in used]
    for network in own:
        if network.subnet not in node.subnets and network.name in used:
            yield f"network {network.name} is used, and its subnet belongs to nobody"
    if len(spare) > SPARE_NETWORKS:
        yield f"{len(spare)} networks are kept for the next instances, {SPARE_NETWORKS} at most"
    if not rows:
        yield from (f"network {each.name} is left without any instance" for each in node.networks)


# -- words -----------------------------------------------------------------------------------------


def _status(found: Object) -> Object:
    status: Object = found.get("status") or {}
    return status


def _title(found: Object) -> str:
    meta = found["metadata"]
    return f"{meta['namespace']}/{meta['name']} ({meta['uid']})"


def _said(found: Object) -> str:
    ready = condition(found, "Ready") or condition(found, "Suspended")
    where = _status(found).get("nodeName") or "no node"
    if not ready:
        return f"it says nothing, on {where}"
    return f"{ready.get('reason')} on {where}: {ready.get('message') or 'no message'}"


def _row(row: Row) -> str:
    return f"{row.namespace}/{row.name} ({row.uid})"


def _states(containers: Sequence[FoundContainer]) -> str:
    return ", ".join(f"{each.name} is {each.state}" for each in containers) or "it has none"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
