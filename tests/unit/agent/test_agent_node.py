"""The node's own object: registered, kept true to the node, and tuned by its operator."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.agent.node import NodeKeeper
from controller.api.node import ChallengeNode
from controller.cluster.client import NODES
from controller.ledger import Ledger
from controller.reconcile.gate import Gate
from controller.reconcile.result import Waiting
from controller.runtime.engine import Engine, EngineInfo
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.reconcile.world import World, world
from tests.unit.runtime.fake_engine import FakeEngine

INFO = EngineInfo(
    id="ABCD",
    name="host",
    version="20.10.24",
    api_version="1.41",
    operating_system="",
    kernel="",
    architecture="",
    cpus=2,
    memory=1,
    storage_driver="",
    cgroup_version="1",
    cgroup_driver="",
    security_options=(),
    live_restore=False,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.db", "10000-10019", seed=1) as opened:
        yield opened


@pytest.fixture
async def node(ledger: Ledger) -> AsyncIterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="cc-"))
    fake = FakeEngine(folder / "docker.sock")
    engine = Engine(fake.url, timeout=5.0)
    yield world(ledger, fake, engine)
    await engine.close()
    shutil.rmtree(folder)


@pytest.fixture
def keeper(node: World) -> NodeKeeper:
    return NodeKeeper(node.services, lambda: INFO)


def shown(cluster: FakeCluster) -> ChallengeNode:
    return ChallengeNode.model_validate(cluster.read(NODES, "n1"))


def spec(cluster: FakeCluster, **fields: Any) -> dict[str, Any]:
    return cluster.put(NODES, cluster.read(NODES, "n1") | {"spec": fields})


async def test_a_node_registers_itself_once_and_leaves_an_operators_spec_alone(
    node: World, keeper: NodeKeeper
) -> None:
    await keeper.register()
    assert node.cluster.read(NODES, "n1")["spec"] == {}
    spec(node.cluster, unschedulable=True)
    await keeper.register()
    assert node.cluster.read(NODES, "n1")["spec"] == {"unschedulable": True}
    assert node.cluster.count("POST") == 1


async def test_a_node_deleted_while_its_agent_lives_comes_back_cordoned(
    node: World, keeper: NodeKeeper
) -> None:
    await keeper.register()
    node.cluster.objects.clear()
    keeper.observe({})
    assert keeper.deleted
    await keeper.register()
    assert shown(node.cluster).spec.unschedulable
    assert not keeper.deleted


async def test_one_that_its_operator_has_made_anew_is_taken_as_it_is(
    node: World, keeper: NodeKeeper
) -> None:
    await keeper.register()
    keeper.observe({})
    await keeper.register()
    assert not shown(node.cluster).spec.unschedulable
    assert not keeper.deleted


async def test_the_status_says_what_there_is_and_what_is_taken(
    node: World, keeper: NodeKeeper
) -> None:
    await keeper.register()
    node.services.ledger.reserve("a", ["x", "y"], namespace="team", name="a", now=0)
    node.services.ledger.quarantine(10000, until=None, reason="sshd")
    await keeper._write()
    status = shown(node.cluster).status
    assert status.address == "192.0.2.1"
    assert status.engine is not None
    assert (status.engine.id, status.engine.version) == ("ABCD", "20.10.24")
    for resources, instances, ports in (
        (status.capacity, 100_000, 20),
        (status.allocatable, 100_000, 19),
        (status.allocated, 1, 2),
    ):
        assert resources is not None
        assert resources.instances == instances
        assert resources.ports in (ports, ports - 1)
    assert {c.type: c.status for c in status.conditions} == {
        "Ready": "True",
        "DockerReachable": "True",
        "FirewallReady": "True",
        "LedgerHealthy": "True",
        "PortPressure": "False",
    }


async def test_a_status_that_is_true_already_is_not_written_again(
    node: World, keeper: NodeKeeper
) -> None:
    await keeper.register()
    await keeper._write()
    await keeper._write()
    assert node.cluster.count("PUT") == 1


async def test_an_engine_that_is_away_makes_the_node_not_ready(
    node: World, keeper: NodeKeeper
) -> None:
    await keeper.register()
    node.services.engine_problem = "Cannot connect to the Docker daemon"
    await keeper._write()
    found = {c.type: c for c in shown(node.cluster).status.conditions}
    assert (found["Ready"].status, found["Ready"].reason) == ("False", "DockerUnavailable")
    assert found["Ready"].message == "Cannot connect to the Docker daemon"
    assert found["DockerReachable"].status == "False"


async def test_a_node_that_cannot_keep_instances_apart_is_not_ready(
    node: World, keeper: NodeKeeper
) -> None:
    await keeper.register()
    node.services.unsafe = Waiting("FirewallUnavailable", "iptables is not there: install it")
    await keeper._write()
    found = {c.type: c for c in shown(node.cluster).status.conditions}
    for kind in ("Ready", "FirewallReady"):
        assert (found[kind].status, found[kind].reason) == ("False", "FirewallUnavailable")
        assert "install it" in found[kind].message


async def test_a_firewall_that_the_operator_keeps_is_told_and_does_not_hinder(
    node: World, keeper: NodeKeeper
) -> None:
    node.services.settings = node.settings.model_copy(update={"firewall": "off"})
    await keeper.register()
    await keeper._write()
    found = {c.type: c for c in shown(node.cluster).status.conditions}
    assert found["Ready"].status == "True"
    assert (found["FirewallReady"].status, found["FirewallReady"].reason) == (
        "False",
        "FirewallOff",
    )


async def test_the_node_says_when_its_ports_run_out(node: World, keeper: NodeKeeper) -> None:
    await keeper.register()
    names = [f"p{number}" for number in range(19)]
    node.services.ledger.reserve("a", names, namespace="team", name="a", now=0)
    await keeper._write()
    (pressure,) = [c for c in shown(node.cluster).status.conditions if c.type == "PortPressure"]
    assert (pressure.status, pressure.message) == ("True", "1 host ports are free")


@pytest.mark.parametrize(("most", "expected"), [(0, 0), (7, 7), (None, 100_000)])
async def test_the_operators_limit_counts_also_when_it_is_none_at_all(
    node: World, keeper: NodeKeeper, most: int | None, expected: int
) -> None:
    await keeper.register()
    spec(node.cluster, **({} if most is None else {"maxInstances": most}))
    await keeper._write()
    allocatable = shown(node.cluster).status.allocatable
    assert allocatable is not None
    assert allocatable.instances == expected


async def test_the_operators_gate_and_address_are_in_force_at_once_and_until_taken_back(
    node: World, keeper: NodeKeeper
) -> None:
    await keeper.register()
    keeper.observe(spec(node.cluster, launchConcurrency=8, publicAddress="ctf.example.org"))
    assert node.services.gate.capacity == 8
    assert keeper.public_address == "ctf.example.org"
    keeper.observe(spec(node.cluster))
    assert node.services.gate.capacity == node.settings.launches
    assert keeper.public_address == ""


async def test_a_node_found_deleted_is_registered_again(node: World, keeper: NodeKeeper) -> None:
    await keeper.register()
    node.cluster.objects.clear()
    await keeper._write()
    assert keeper.deleted
    await keeper.register()
    assert shown(node.cluster).spec.unschedulable


async def test_a_node_whose_engine_hangs_is_not_ready(node: World, keeper: NodeKeeper) -> None:
    """It answers its pings, and leaves so many calls unanswered that nothing is launched."""
    await keeper.register()
    stuck = [4]
    node.services.gate = Gate(2, lambda _: True, unanswered=lambda: stuck[0])
    await keeper._write()
    found = {c.type: c for c in shown(node.cluster).status.conditions}
    assert (found["Ready"].status, found["Ready"].reason) == ("False", "DockerUnavailable")
    assert "left 4 calls unanswered" in found["DockerReachable"].message
    stuck[0] = 3
    await keeper._write()
    found = {c.type: c for c in shown(node.cluster).status.conditions}
    assert found["Ready"].status == "True"
