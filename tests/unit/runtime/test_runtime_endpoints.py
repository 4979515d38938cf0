"""Stale endpoints: the engine keeps them of containers that it has not any more, and they go.

The stand-in follows Docker 20.10 (moby, daemon/container_operations.go and libnetwork), which does
not make a stale endpoint on demand.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

import pytest

from controller.runtime import containers, labels, networks
from controller.runtime.containers import ContainerPlan
from controller.runtime.engine import Engine
from controller.runtime.errors import EndpointTaken, NetworkInUse, SubnetTaken
from controller.runtime.labels import Owner
from tests.unit.runtime.fake_engine import FakeEngine, Request

OWNER = Owner("default", "n1", "0b6f3c1e", "team", "web", "hash")
PLAN = ContainerPlan(name="web", image="img:1")
WEB = labels.container_name(OWNER.uid, "web")
MARKS = {labels.INSTALLATION: "default", labels.NODE: "n1"}


@dataclass
class Stand:
    """An engine with one network, `net`, and what is on it."""

    containers: set[str] = field(default_factory=set)
    """By name; the id of each is "id-" and its name."""
    ends: dict[str, str] = field(default_factory=dict)
    """The endpoints' names by the key under which an inspection has them."""
    network: str = "net"
    subnet: str = "10.9.0.0/22"
    count: int = 0
    """Endpoints that the network counts and has not, as after a write that failed."""
    done: Counter[str] = field(default_factory=Counter)

    def answer(self, request: Request) -> Any:
        """Status and body for a request."""
        path, _, query = request.path.partition("?")
        what, *rest = path.strip("/").split("/")
        if request.method != "GET":
            self.done[f"{request.method} {what} {rest[-1]}"] += 1
        return getattr(self, f"_{what}")(request, rest, query)

    def _networks(self, request: Request, rest: list[str], _query: str) -> Any:
        state = {"Id": "net-id", "Name": self.network, "Labels": MARKS}
        state |= {"IPAM": {"Config": [{"Subnet": self.subnet}]}}
        if rest == ["create"]:
            return 409, {"message": f"network with name {self.network} already exists"}
        if not self.network:
            return (404, {"message": f"network {rest[0]} not found"}) if rest else (200, [])
        if not rest:
            return 200, [state]
        if rest[-1] == "disconnect":
            return self._disconnected(json.loads(request.body)["Container"])
        if request.method == "GET":
            return 200, state | {"Containers": {k: {"Name": n} for k, n in self.ends.items()}}
        if self.ends or self.count:
            return 403, {"message": f"error while removing network: {rest[0]} has active endpoints"}
        self.network = ""
        return 204, b""

    def _disconnected(self, reference: str) -> Any:
        """A container by id or name; what is neither, with force, is an endpoint's name."""
        key = reference if reference.startswith("id-") else f"id-{reference}"
        if key.removeprefix("id-") in self.containers:
            if key not in self.ends:
                return 500, {"message": f"container {reference} is not connected to the network"}
            del self.ends[key]
            return 200, b""
        if reference not in self.ends.values():
            return 404, {"message": f"endpoint {reference} not found"}
        self.ends = {key: name for key, name in self.ends.items() if name != reference}
        return 200, b""

    def _containers(self, request: Request, rest: list[str], query: str) -> Any:
        if rest == ["create"]:
            name = query.partition("name=")[2]
            self.containers.add(name)
            return 201, {"Id": f"id-{name}"}
        name = rest[0].removeprefix("id-")
        if name not in self.containers:
            return 404, {"message": f"No such container: {rest[0]}"}
        if request.method == "DELETE":
            self.containers.discard(name)
            self.ends.pop(f"id-{name}", None)
            return 204, b""
        if rest[-1] == "start" and name in self.ends.values():
            words = f"endpoint with name {name} already exists in network net"
            return 403, {"message": words}
        if rest[-1] == "start":
            self.ends[f"id-{name}"] = name
            return 204, b""
        return 200, {"Id": f"id-{name}"}


@pytest.fixture
def stand(fake: FakeEngine) -> Stand:
    made = Stand()
    fake.answer = made.answer
    return made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that is in use is given up soon."""
    monkeypatch.setattr(networks, "_IN_USE_SECONDS", 0.2)
    monkeypatch.setattr(networks, "_IN_USE_PAUSE", 0.05)


@pytest.mark.parametrize("key", ["ep-4f1c", "gone"])
async def test_a_network_goes_with_the_endpoint_of_a_container_that_is_gone(
    engine: Engine, stand: Stand, impatient: None, key: str
) -> None:
    stand.ends = {key: "chal-x"}
    await networks.remove_network(engine, "net")
    assert stand.network == ""


async def test_an_endpoint_that_resists_does_not_save_the_others(
    engine: Engine, stand: Stand, impatient: None
) -> None:
    stand.containers = {"chal-a"}
    stand.ends = {"ep-1": "", "id-chal-a": "chal-a", "ep-2": "chal-b"}
    with pytest.raises(NetworkInUse, match="active endpoints"):
        await networks.remove_network(engine, "net")
    assert stand.ends == {"ep-1": ""}


async def test_an_unused_network_goes_with_stale_endpoints_and_stays_with_a_container(
    engine: Engine, stand: Stand
) -> None:
    stand.containers = {"chal-a"}
    stand.ends = {"id-chal-a": "chal-a", "ep-2": "chal-b"}
    assert not await networks.remove_unused(engine, "net")
    assert stand.ends == {"id-chal-a": "chal-a"}
    stand.ends = {"ep-2": "chal-b", "gone": "chal-c"}
    assert await networks.remove_unused(engine, "net")
    assert await networks.remove_unused(engine, "net")


async def test_the_endpoint_of_a_container_that_is_just_being_started_is_not_stale(
    engine: Engine, stand: Stand
) -> None:
    """Docker lists it as "ep-…" until the container has its sandbox."""
    stand.containers, stand.ends = {"chal-a"}, {"ep-1": "chal-a"}
    assert not await networks.remove_unused(engine, "net")
    assert stand.ends == {"ep-1": "chal-a"}
    assert not stand.done["POST networks disconnect"]


async def test_a_network_that_counts_endpoints_which_it_has_not_is_in_use(
    engine: Engine, stand: Stand, impatient: None
) -> None:
    stand.count = 1
    assert not await networks.remove_unused(engine, "net")
    with pytest.raises(NetworkInUse):
        await networks.remove_network(engine, "net")


async def test_a_container_starts_where_an_earlier_one_of_its_name_has_left_an_endpoint(
    engine: Engine, stand: Stand
) -> None:
    others = {"id-chal-a": "chal-a", "ep-2": "chal-gone"}
    stand.ends, stand.containers = {"ep-1": WEB} | others, {"chal-a"}
    await containers.launch(engine, OWNER, PLAN, "net")
    assert stand.ends == {f"id-{WEB}": WEB} | others
    assert stand.done["POST containers create"] == 2


async def test_an_endpoint_that_cannot_be_ended_fails_the_launch(
    engine: Engine, stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.ends = {"ep-1": WEB}
    monkeypatch.setattr(stand, "_disconnected", lambda _: (500, {"message": "database is full"}))
    with pytest.raises(EndpointTaken):
        await containers.launch(engine, OWNER, PLAN, "net")
    assert stand.containers == set()


async def test_a_shared_network_of_other_settings_is_left_to_those_who_are_on_it(
    engine: Engine, stand: Stand, impatient: None
) -> None:
    """Its subnet is another one since the operator has changed the range."""
    stand.network = labels.shared_network_name("default", 0)
    stand.containers, stand.ends = {"chal-a"}, {"id-chal-a": "chal-a"}
    with pytest.raises(SubnetTaken):
        await networks.ensure_shared_network(
            engine, "default", "n1", 0, IPv4Network("10.212.0.0/22")
        )
    assert stand.ends == {"id-chal-a": "chal-a"}
    assert stand.network


async def test_subnets_of_others_may_have_host_bits(engine: Engine, stand: Stand) -> None:
    """Docker keeps what its user wrote."""
    stand.subnet = "10.9.0.1/24"
    assert await networks.all_subnets(engine) == [IPv4Network("10.9.0.0/24")]
