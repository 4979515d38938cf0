"""The node's own object: registered, and written no more often than it must be."""

import asyncio
import copy
from collections.abc import Awaitable, Callable

import pytest

from controller.agent import registration
from controller.agent.identity import IdentityMismatch
from controller.agent.node import NodeKeeper
from controller.api import conditions
from controller.api.labels import INSTALLATION
from controller.api.node import ChallengeNode, LaunchStatus, NodeStatus
from controller.cluster.client import NODES
from controller.cluster.errors import ApiError, Conflict, Forbidden, Invalid
from controller.settings import load
from tests.unit.agent.kept import Kept
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.reconcile.virtual_time import virtual
from tests.unit.reconcile.world import NOON


async def test_a_node_registers_itself_once_and_leaves_an_operators_spec_alone(kept: Kept) -> None:
    await kept.keeper.register()
    assert kept.cluster.read(NODES, "n1")["spec"] == {}
    kept.spec(unschedulable=True)
    await kept.keeper.register()
    assert kept.cluster.read(NODES, "n1")["spec"] == {"unschedulable": True}
    assert kept.cluster.count("POST") == 1


async def test_a_node_deleted_while_its_agent_lives_comes_back_cordoned(kept: Kept) -> None:
    await kept.keeper.register()
    kept.cluster.objects.clear()
    kept.keeper.observe({})
    assert kept.keeper.deleted
    await kept.keeper.register()
    assert kept.shown().spec.unschedulable
    assert not kept.keeper.deleted


async def test_one_that_its_operator_has_made_anew_is_taken_as_it_is(kept: Kept) -> None:
    await kept.keeper.register()
    kept.keeper.observe({})
    await kept.keeper.register()
    assert not kept.shown().spec.unschedulable
    assert not kept.keeper.deleted


async def test_a_node_found_deleted_is_registered_again(kept: Kept) -> None:
    await kept.keeper.register()
    kept.cluster.objects.clear()
    await kept.keeper._write()
    assert kept.keeper.deleted
    await kept.keeper.register()
    assert kept.shown().spec.unschedulable


async def test_a_node_is_labelled_as_a_kubelet_does_and_as_its_settings_say(kept: Kept) -> None:
    kept.world.configure(node_labels="example.org/disk=ssd, zone=")
    await register(kept)
    labels = kept.shown().metadata.labels
    ours = {"example.org/disk": "ssd", "zone": "", INSTALLATION: "default"}
    assert labels == registration.own_labels() | ours
    assert labels["kubernetes.io/os"] == "linux"
    assert labels["kubernetes.io/arch"] in ("amd64", "arm64")
    assert set(labels) >= {"kubernetes.io/hostname"}


async def register(kept: Kept) -> None:
    await registration.register(kept.cluster, kept.world.settings, cordoned=False)


async def test_an_operators_own_labels_are_never_written_over(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    mine = {"kubernetes.io/hostname": "my-name", "disk": "hdd", "rack": "7"}
    kept.cluster.put(NODES, {"metadata": {"name": "n1", "labels": mine}, "spec": {}})
    kept.world.configure(node_labels="disk=ssd,zone=a")
    await register(kept)
    ours = {"zone": "a", INSTALLATION: "default"}
    assert kept.shown().metadata.labels == registration.own_labels() | ours | mine
    assert "disk=hdd, CHALLENGE_NODE_LABELS says ssd" in caplog.text
    assert "kubectl label chnode n1 disk=ssd --overwrite" in caplog.text
    writes = len(kept.cluster.requests)
    await register(kept)
    assert len(kept.cluster.requests) == writes + 1, "a GET, and nothing is written"


@pytest.mark.parametrize(("whose", "said"), [("exam", "'exam'"), (None, "'default'")])
async def test_a_node_of_another_installation_is_not_taken_over(
    kept: Kept, whose: str | None, said: str
) -> None:
    """One without the label is from before there was one, and of the default installation."""
    labels = {INSTALLATION: whose} if whose else {}
    kept.cluster.put(NODES, {"metadata": {"name": "n1", "labels": labels}, "spec": {}})
    kept.world.configure(installation="lab")
    with pytest.raises(IdentityMismatch) as caught:
        await register(kept)
    assert f"ChallengeNode n1 is of the installation {said}, but this agent is of 'lab'" in str(
        caught.value
    )
    assert f"kubectl label chnode n1 {INSTALLATION}=lab --overwrite" in str(caught.value)
    assert kept.shown().metadata.labels == labels


async def test_a_node_from_before_there_was_a_label_stays_the_default_installations(
    kept: Kept,
) -> None:
    kept.cluster.put(NODES, {"metadata": {"name": "n1"}, "spec": {}})
    await register(kept)
    assert kept.shown().metadata.labels[INSTALLATION] == "default"


async def test_a_node_tells_whom_it_serves_and_where_its_lease_is(kept: Kept) -> None:
    kept.world.configure(namespaces="team-a,team-b", controller_namespace="exam-system")
    await kept.keeper.register()
    status = await kept.status()
    assert status.namespaces == ["team-a", "team-b"]
    assert status.controller_namespace == "exam-system"


@pytest.mark.parametrize("refusal", [Forbidden, Invalid])
async def test_an_agent_that_may_not_label_its_node_serves_all_the_same(
    kept: Kept, refusal: type[ApiError], caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(method: str, path: str) -> None:
        if method == "PATCH":
            raise refusal(403, "Forbidden", "not your part", {})

    kept.cluster.put(NODES, {"metadata": {"name": "n1"}, "spec": {}})
    kept.cluster.before = refuse
    kept.world.configure(node_labels="zone=a")
    await register(kept)
    assert "kubectl label chnode n1 kubernetes.io/hostname=" in caplog.text
    assert "zone=a" in caplog.text


async def test_a_status_that_is_true_already_is_not_written_again(kept: Kept) -> None:
    await kept.keeper.register()
    await kept.status()
    await kept.status()
    assert kept.cluster.count("PUT") == 1


async def test_the_operators_gate_and_address_are_in_force_at_once_and_until_taken_back(
    kept: Kept,
) -> None:
    await kept.keeper.register()
    gate = kept.world.services.gate
    kept.keeper.observe(kept.spec(launchConcurrency=8, publicAddress="ctf.example.org"))
    assert gate.capacity == 8
    assert kept.keeper.public_address == "ctf.example.org"
    assert kept.moved == 1, "instances that run are to show it"
    kept.keeper.observe(kept.spec(launchConcurrency=9, publicAddress="ctf.example.org"))
    assert kept.moved == 1
    kept.keeper.observe(kept.spec())
    assert gate.capacity == kept.world.settings.launches
    assert kept.keeper.public_address == ""
    assert kept.moved == 2


class Told:
    """A keeper whose status a test sets, on an API server that counts."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.status = NodeStatus(observed_generation=1, launch=LaunchStatus())
        self.restless = False
        self.say("Ready", "True", "Ready")
        self.keeper = NodeKeeper(
            self.cluster,
            load({"node_name": "n1", "state_dir": "/nonexistent"}),
            NothingInForce(),  # type: ignore[arg-type]  # no node stands behind this one
            self._draft,
            restless=lambda: self.restless,
        )

    def say(self, kind: str, status: conditions.Status, reason: str) -> None:
        """Set a condition, and have it told."""
        conditions.set_condition(
            self.status.conditions, kind, status, reason, now=NOON, observed_generation=1
        )

    async def _draft(self, node: ChallengeNode) -> NodeStatus:
        return copy.deepcopy(self.status)

    def writes(self) -> int:
        """Status writes so far."""
        return self.cluster.count("PUT")

    async def during(self, doing: Callable[[], Awaitable[None]]) -> None:
        """Have the keeper at work meanwhile."""
        task = asyncio.create_task(self.keeper.run())
        try:
            await doing()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class NothingInForce:
    """Stands where a spec would be put into effect."""

    port_range = "10000-10019"
    public_address = ""

    def follow(self, node: ChallengeNode) -> None:
        """Take it."""

    async def adopt_range(self, node: ChallengeNode) -> bool:
        """It is."""
        return True


@virtual
async def test_two_hundred_launches_in_ten_seconds_are_two_writes_at_most() -> None:
    told = Told()

    async def launches() -> None:
        await asyncio.sleep(0.5)
        first = told.writes()
        assert first == 1
        for number in range(200):
            told.status.launch = LaunchStatus(launching=2, waiting=200 - number)
            told.keeper.changed()
            await asyncio.sleep(0.05)
        assert told.writes() - first <= 1
        await asyncio.sleep(10)
        assert told.writes() - first == 2, "and the last of them is told in the end"

    await told.during(launches)


@virtual
async def test_a_condition_that_changes_is_told_at_once() -> None:
    told = Told()

    async def docker_goes_and_comes_back() -> None:
        await asyncio.sleep(1)
        for reason, status in (("DockerUnavailable", "False"), ("Ready", "True")):
            before = told.writes()
            told.say("Ready", status, reason)  # type: ignore[arg-type]  # one of both
            told.keeper.changed()
            await asyncio.sleep(0.1)
            assert told.writes() == before + 1
            read = told.cluster.read(NODES, "n1")
            assert read["status"]["conditions"][0]["reason"] == reason

    await told.during(docker_goes_and_comes_back)


@virtual
async def test_a_change_that_comes_early_waits_until_ten_seconds_after_the_last_write() -> None:
    told = Told()

    async def one_launch() -> None:
        await asyncio.sleep(4)
        told.status.launch = LaunchStatus(launching=1)
        told.keeper.changed()
        await asyncio.sleep(5.9)
        assert told.writes() == 1
        await asyncio.sleep(0.2)
        assert told.writes() == 2

    await told.during(one_launch)


@virtual
async def test_who_is_overtaken_again_and_again_does_not_race() -> None:
    told = Told()

    async def raced() -> None:
        await asyncio.sleep(1)

        async def overtaken(method: str, _path: str) -> None:
            if method == "PUT":
                raise Conflict(409, "Conflict", "changed", {})

        told.cluster.before = overtaken
        before = told.writes()
        told.say("Ready", "False", "DockerUnavailable")
        told.keeper.changed()
        await asyncio.sleep(0.1)
        assert told.writes() == before + 2, "once again at once"
        await asyncio.sleep(5)
        assert told.writes() <= before + 8
        told.cluster.before = None
        await asyncio.sleep(1)
        assert reason(told) == "DockerUnavailable"

    await told.during(raced)


def take_for_lost(told: Told) -> None:
    """What the manager does to a node whose Lease it does not see renewed."""
    body = told.cluster.read(NODES, "n1")
    body["status"]["conditions"][0] |= {"status": "Unknown", "reason": "NodeLost"}
    told.keeper.observe(told.cluster.put(NODES, body))


def reason(told: Told) -> str:
    (ready,) = told.cluster.read(NODES, "n1")["status"]["conditions"]
    return str(ready["reason"])


@virtual
async def test_what_the_manager_wrote_of_a_lost_node_is_set_right_as_soon_as_it_is_seen() -> None:
    told = Told()

    async def lost() -> None:
        await asyncio.sleep(11)
        take_for_lost(told)
        await asyncio.sleep(0.1)
        assert reason(told) == "Ready"

    await told.during(lost)


@virtual
async def test_a_manager_that_insists_is_answered_every_ten_seconds() -> None:
    told = Told()

    async def insisting() -> None:
        await asyncio.sleep(1)
        for _ in range(190):
            if reason(told) == "Ready":
                take_for_lost(told)
            await asyncio.sleep(0.1)
        assert told.writes() <= 3
        await asyncio.sleep(10)
        assert reason(told) == "Ready"

    await told.during(insisting)


@virtual
async def test_a_node_registered_anew_has_its_status_at_once() -> None:
    told = Told()

    async def deleted() -> None:
        await asyncio.sleep(1)
        told.cluster.objects.clear()
        told.keeper.observe({})
        await asyncio.sleep(0.1)
        assert reason(told) == "Ready"

    await told.during(deleted)


@virtual
async def test_the_echo_of_an_own_write_costs_no_request() -> None:
    told = Told()

    async def echo() -> None:
        await asyncio.sleep(1)
        requests = len(told.cluster.requests)
        told.keeper.observe(told.cluster.read(NODES, "n1"))
        await asyncio.sleep(1)
        assert len(told.cluster.requests) == requests

    await told.during(echo)


@virtual
async def test_a_restless_node_looks_more_often_and_writes_no_more_for_it() -> None:
    told = Told()
    told.restless = True

    async def wait() -> None:
        await asyncio.sleep(9)
        assert told.cluster.count("GET") >= 5
        assert told.writes() == 1

    await told.during(wait)
