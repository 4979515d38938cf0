"""What a ChallengeNode's status says: how much there is, how much is taken, and what is wrong."""

import dataclasses
from pathlib import Path

import pytest

from controller.agent import cgroup, disks
from controller.agent.disks import Disk
from controller.api.node import NodeResources
from controller.reconcile import reserve, teardown
from controller.reconcile.gate import Gate
from controller.reconcile.ownnetworks import OwnNetworks
from controller.reconcile.result import Waiting
from tests.unit.agent.kept import INFO, MIB, Kept, hold
from tests.unit.reconcile.world import UID, template

GIB = 1024 * MIB


async def test_the_status_says_what_there_is_and_what_is_taken(kept: Kept) -> None:
    services = kept.world.services
    await kept.keeper.register()
    hold(kept, "a", 2)
    services.ledger.quarantine_free(range(10000, 10003), until=None, reason="sshd")
    services.ledger.allocate_subnet("a", pool=services.own_networks.pool, prefix=27, now=0)
    aside = len(services.ledger.quarantined())
    services.memory = {"a": 256 * MIB, "b": 512 * MIB}
    status = await kept.status()
    assert status.address == "192.0.2.1"
    assert status.version
    assert status.engine is not None
    assert (status.engine.id, status.engine.version) == ("ABCD", "20.10.24")
    # 16 bridges of 1000 in a /18, and 2048 networks of a /27 in a /16
    shared = NodeResources(instances=18048, networks=2048, ports=20, memory=4 * GIB)
    assert status.capacity == shared
    assert status.allocatable == shared.model_copy(update={"ports": 20 - aside})
    assert status.allocated == NodeResources(instances=1, ports=2, networks=1, memory=768 * MIB)
    assert status.summary is not None
    assert status.summary.model_dump() == {
        "instances": "1/18048",
        "ports": f"2/{20 - aside}",
        "memory": "0.8/4.0Gi",
        "launches": "0+0",
        "pressure": "",
    }
    assert {c.type: c.status for c in status.conditions} == {
        "Ready": "True",
        "DockerReachable": "True",
        "FirewallReady": "True",
        "LedgerHealthy": "True",
        "PortPressure": "False",
        "NetworkPressure": "False",
        "DiskPressure": "False",
        "OrphansHeld": "False",
        "PortRangeOverlap": "False",
        "Reconciled": "False",
    }
    shown = {
        (s.name, *s.labels.values()): s.value
        for family in kept.registry.collect()
        for s in family.samples
    }
    assert shown == {
        ("challenge_node_instances",): 1,
        ("challenge_node_ports", "free"): 18 - aside,
        ("challenge_node_ports", "held"): 2,
        ("challenge_node_ports", "aside"): aside,
        ("challenge_node_networks", "free"): 2047,
        ("challenge_node_networks", "held"): 1,
        ("challenge_node_memory_promised_bytes",): 768 * MIB,
    }


async def test_promised_memory_is_the_sum_of_limits_until_the_ports_are_given_back(
    kept: Kept,
) -> None:
    limited = template("web", "db", "side")
    limited["containers"][0]["resources"] = {"limits": {"memory": "64Mi"}}
    limited["containers"][1]["resources"] = {"limits": {"cpu": "1"}}
    work = kept.world.work({"template": limited})
    await reserve.reserve(work)
    assert kept.world.services.memory == {UID: 64 * MIB}
    await teardown.free(kept.world.services, UID)
    assert kept.world.services.memory == {}


async def test_an_instance_without_ports_to_be_had_promises_nothing(kept: Kept) -> None:
    hold(kept, "a", 20)
    await reserve.reserve(kept.world.work())
    assert kept.world.services.memory == {}


async def test_the_operators_cap_on_the_cgroup_is_what_instances_may_take(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def limit(parent: str, version: str) -> int:
        asked.append((parent, version))
        return limits[0]

    limits = [1 * GIB]
    monkeypatch.setattr(cgroup, "memory_limit", limit)
    await kept.keeper.register()
    status = await kept.status()
    assert status.capacity is not None
    assert status.allocatable is not None
    assert (status.capacity.memory, status.allocatable.memory) == (4 * GIB, 1 * GIB)
    assert asked == [("/challenges", "1")]
    limits[0] = 9 * GIB
    kept.spec(maxInstances=1)  # a new generation is told at once
    allocatable = (await kept.status()).allocatable
    assert allocatable is not None
    assert allocatable.memory == 4 * GIB, "there is no more than the machine has"


@pytest.mark.parametrize(("most", "expected"), [(0, 0), (7, 7), (None, 18_048), (100_000, 18_048)])
async def test_the_operators_limit_counts_also_when_it_is_none_at_all(
    kept: Kept, most: int | None, expected: int
) -> None:
    await kept.keeper.register()
    kept.spec(**({} if most is None else {"maxInstances": most}))
    status = await kept.status()
    assert status.allocatable is not None
    assert status.allocatable.instances == expected
    assert status.capacity is not None
    assert status.capacity.instances == 18_048


async def test_the_settings_limit_is_the_capacity(kept: Kept) -> None:
    kept.world.configure(max_instances=50)
    await kept.keeper.register()
    capacity = (await kept.status()).capacity
    assert capacity is not None
    assert capacity.instances == 50


async def test_an_engine_that_is_away_makes_the_node_not_ready(kept: Kept) -> None:
    await kept.keeper.register()
    kept.world.services.engine_problem = "Cannot connect to the Docker daemon"
    ready = await kept.condition("Ready")
    assert (ready.status, ready.reason) == ("False", "DockerUnavailable")
    assert ready.message == "Cannot connect to the Docker daemon"
    assert (await kept.condition("DockerReachable")).status == "False"


async def test_what_the_machine_has_is_remembered_while_the_engine_is_away(kept: Kept) -> None:
    await kept.keeper.register()
    await kept.status()
    kept.info = None
    kept.spec()
    capacity = (await kept.status()).capacity
    assert capacity is not None
    assert capacity.memory == 4 * GIB


async def test_a_node_whose_engine_was_never_reached_does_not_claim_memory(kept: Kept) -> None:
    kept.info = None
    await kept.keeper.register()
    status = await kept.status()
    assert status.capacity is not None
    assert status.capacity.memory is None
    assert status.summary is not None
    assert status.summary.memory == ""


async def test_a_node_that_cannot_keep_instances_apart_is_not_ready(kept: Kept) -> None:
    await kept.keeper.register()
    kept.world.services.unsafe = Waiting("FirewallUnavailable", "iptables is not there: install it")
    for kind in ("Ready", "FirewallReady"):
        found = await kept.condition(kind)
        assert (found.status, found.reason) == ("False", "FirewallUnavailable")
        assert "install it" in found.message


async def test_a_firewall_that_the_operator_keeps_is_told_and_does_not_hinder(kept: Kept) -> None:
    kept.world.configure(firewall="off")
    await kept.keeper.register()
    assert (await kept.condition("Ready")).status == "True"
    firewall = await kept.condition("FirewallReady")
    assert (firewall.status, firewall.reason) == ("False", "FirewallOff")


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"unschedulable": True}, "Cordoned", "no new instances"),
        ({"unschedulable": True, "drain": "Managed"}, "Draining", "Its instances of Challenge"),
        ({"unschedulable": True, "drain": "All"}, "Draining", "Its instances move"),
        ({}, "Ready", ""),
    ],
)
async def test_a_node_that_takes_nothing_new_is_ready_and_says_why_it_gets_none(
    kept: Kept, spec: dict[str, object], reason: str, words: str
) -> None:
    await kept.keeper.register()
    kept.spec(**spec)
    ready = await kept.condition("Ready")
    assert (ready.status, ready.reason) == ("True", reason)
    assert words in ready.message


async def test_the_node_says_when_its_ports_run_out_and_does_not_flicker(kept: Kept) -> None:
    await kept.keeper.register()
    held = [hold(kept, f"i{number}", 1) for number in range(19)]
    pressure = await kept.condition("PortPressure")
    assert (pressure.status, pressure.reason) == ("True", "Low")
    assert pressure.message == "1 of 20 host ports are free: widen portRange"
    summary = kept.shown().status.summary
    assert summary is not None
    assert summary.pressure == "Ports"
    for number, expected in ((0, "True"), (1, "False")):
        kept.world.services.ledger.release(f"i{number}", now=1)
        assert (await kept.condition("PortPressure")).status == expected
    assert len(held) == 19


async def test_the_node_says_when_its_networks_run_out(kept: Kept) -> None:
    kept.world.configure(instance_subnets="10.213.0.0/26")
    services = kept.world.services
    services.own_networks = OwnNetworks(services.engine, services.settings)
    pool = services.own_networks.pool
    await kept.keeper.register()
    services.ledger.allocate_subnet("a", pool=pool, prefix=27, now=0)
    assert (await kept.condition("NetworkPressure")).status == "False"
    services.ledger.allocate_subnet("b", pool=pool, prefix=27, now=0)
    pressure = await kept.condition("NetworkPressure")
    assert pressure.status == "True"
    assert "0 of 2 networks" in pressure.message
    assert "CHALLENGE_INSTANCE_SUBNETS" in pressure.message


async def test_a_disk_that_fills_is_told_with_how_much_is_left(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []
    percent = [9]

    def look(paths: list[Path]) -> list[Disk]:
        looked.extend(paths)
        return [Disk(Path("/var/lib/docker"), 100 * GIB, percent[0] * GIB, 0, 0)]

    monkeypatch.setattr(disks, "look", look)
    kept.info = dataclasses.replace(INFO, root="/var/lib/docker")
    await kept.keeper.register()
    pressure = await kept.condition("DiskPressure")
    assert pressure.status == "True"
    assert "/var/lib/docker: 9.0 of 100.0 GiB are free, expected 10 %" in pressure.message
    assert looked[:2] == [Path("/var/lib/docker"), kept.world.settings.state_dir]
    assert (await kept.condition("Ready")).status == "True", "those that run are left alone"
    for free, expected in ((11, "True"), (12, "False"), (11, "False")):
        percent[0] = free
        assert (await kept.condition("DiskPressure")).status == expected


async def test_a_range_that_others_use_as_well_is_told_and_taken(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    await kept.keeper.register()
    kept.spec(portRange="29999-30001")
    found = await kept.condition("PortRangeOverlap")
    assert (found.status, found.reason) == ("True", "SharedPorts")
    assert "30000-30001 are NodePorts" in found.message
    assert (await kept.condition("Ready")).status == "True"
    assert kept.shown().status.port_range == "29999-30001"
    await kept.status()
    assert caplog.text.count("30000-30001 are NodePorts") == 1, "the log is told once"


async def test_a_node_whose_engine_hangs_is_not_ready(kept: Kept) -> None:
    """It answers its pings, and leaves so many calls unanswered that nothing is launched."""
    await kept.keeper.register()
    stuck = [4]
    kept.world.services.gate = Gate(2, lambda _: True, unanswered=lambda: stuck[0])
    ready = await kept.condition("Ready")
    assert (ready.status, ready.reason) == ("False", "DockerUnavailable")
    assert "left 4 calls unanswered" in (await kept.condition("DockerReachable")).message
    stuck[0] = 3
    assert (await kept.condition("Ready")).status == "True"


async def test_what_the_start_has_put_right_is_a_condition(kept: Kept) -> None:
    await kept.keeper.register()
    before = await kept.condition("Reconciled")
    assert (before.status, before.reason) == ("False", "StartingUp")
    findings = kept.world.services.findings
    findings.tally.update(adopted=12, orphan=1, reserved=2)
    findings.is_over, findings.told = True, findings.summary()
    after = await kept.condition("Reconciled")
    assert (after.status, after.reason) == ("True", "Reconciled")
    assert after.message == (
        "12 adopted, 1 orphan torn down, 0 released, 2 reserved again, 0 crashed launches, "
        "0 networks removed"
    )
