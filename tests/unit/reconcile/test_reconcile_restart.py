"""Containers that end are started again, by policy, after growing waits and within a budget."""

from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv4Network
from typing import Any

import pytest

from controller.api import reasons
from controller.api.instance import ContainerStatus
from controller.reconcile import gate, restart
from controller.reconcile.result import DONE, Failed, Result, Waiting
from controller.reconcile.work import Work
from controller.runtime import labels
from tests.unit.reconcile.world import NOON, UID, World, template

START = f"POST containers/chal-{UID}-web/start"


def ended(node: World, *, restarts: int = 0, policy: str = "Always", exit_code: int = 1) -> Work:
    """An instance whose one container has just ended."""
    node.engine.states = {"web": "exited"}
    node.engine.exit_code = exit_code
    work = node.work({"template": template(restartPolicy=policy)})
    node.found(work)
    status = ContainerStatus(name="web", image="img:1", restart_count=restarts, ready=True)
    work.status.containers = [status]
    return work


def status(work: Work) -> ContainerStatus:
    (only,) = work.status.containers
    return only


async def test_containers_that_run_or_are_paused_are_left_alone(node: World) -> None:
    node.engine.states = {"web": "running", "db": "paused"}
    work = node.work({"template": template("web", "db")})
    node.found(work)
    assert await restart.keep_up(work) == DONE
    assert node.engine.calls == []
    assert [c.state for c in work.status.containers] == ["Running", "Paused"]


async def test_the_first_end_is_followed_by_a_start_at_once(node: World) -> None:
    work = ended(node)
    assert await restart.keep_up(work) == DONE
    assert node.engine.calls == [START]
    assert (status(work).restart_count, status(work).state) == (1, "Running")
    assert (status(work).exit_code, status(work).reason, status(work).ready) == (1, "Error", False)
    assert [state.state for state in work.containers] == ["running"]
    assert node.services.gate.held == 0


@pytest.mark.parametrize(
    ("policy", "exit_code", "started"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 137, True),
        ("Never", 0, False),
        ("Never", 1, False),
    ],
)
async def test_the_restart_policy_is_a_pods(
    node: World, policy: str, exit_code: int, started: bool
) -> None:
    work = ended(node, policy=policy, exit_code=exit_code)
    result = await restart.keep_up(work)
    assert (START in node.engine.calls) == started
    if not started:
        assert isinstance(result, Failed)
        assert (result.reason, result.after) == (reasons.CONTAINER_EXITED, None)
        assert f"exit code {exit_code}" in result.message
        assert policy in result.message


async def test_further_starts_wait_longer_each_time_from_the_containers_end(node: World) -> None:
    """It ended a second ago: after one restart 2 s, after three 8 s."""
    for restarts, left in ((1, 1.0), (3, 7.0)):
        result = await restart.keep_up(ended(node, restarts=restarts))
        assert isinstance(result, Failed)
        assert (result.reason, result.after) == (reasons.CONTAINER_EXITED, left)
    assert node.engine.calls == []
    node.clock.at = NOON + timedelta(seconds=7)
    assert await restart.keep_up(ended(node, restarts=3)) == DONE


async def test_the_budget_of_restarts_ends_in_a_crash_loop(node: World) -> None:
    node.clock.at = NOON + timedelta(hours=10)
    results: list[Result] = []
    restarts = 0
    for _ in range(node.settings.restart_budget + 2):
        work = ended(node, restarts=restarts)
        results.append(await restart.keep_up(work))
        restarts = status(work).restart_count
    assert restarts == node.settings.restart_budget == 5
    assert node.engine.calls == [START] * 5
    last = results[-1]
    assert isinstance(last, Failed)
    assert last.reason == reasons.CRASH_LOOP
    assert "after 5 restarts" in last.message


async def test_ends_before_a_long_run_do_not_count(node: World) -> None:
    work = ended(node, restarts=5)
    node.engine.started = "2026-01-31T11:40:00Z"
    assert await restart.keep_up(work) == DONE
    assert status(work).restart_count == 1
    work = ended(node, restarts=5)
    node.engine.started = "2026-01-31T11:50:00Z"
    assert isinstance(await restart.keep_up(work), Failed)


async def test_a_container_out_of_memory_is_said_to_be(node: World) -> None:
    work = ended(node, exit_code=137)
    node.engine.oom_killed = True
    await restart.keep_up(work)
    assert status(work).reason == "OOMKilled"


async def test_a_start_waits_for_its_turn_at_the_gate(node: World) -> None:
    node.services.gate.request("other", gate.Work.LAUNCH)
    work = ended(node)
    result = await restart.keep_up(work)
    assert isinstance(result, Waiting)
    assert result.reason == reasons.WAITING_FOR_LAUNCH_SLOT
    assert status(work).restart_count == 0
    node.services.gate.release("other")
    assert node.woken == [UID]
    assert await restart.keep_up(work) == DONE
    assert node.services.gate.held == 0


async def test_what_answered_before_the_end_is_probed_anew(
    node: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same address would keep an instance Ready that has only just been started."""
    forgotten: list[Any] = []
    monkeypatch.setattr(node.services.readiness, "forget", forgotten.append)
    await restart.keep_up(ended(node))
    assert forgotten == [UID]


async def test_what_the_engine_has_ended_is_started_whatever_the_policy_and_not_counted(
    node: World,
) -> None:
    """It ended at 11:59:59, and the engine was seen again at noon."""
    await node.services.outages.reached("boot/1", was_away=False)
    await node.services.outages.reached("boot/2", was_away=True)
    for policy, restarts in (("Never", 0), ("OnFailure", 5), ("Always", 5)):
        work = ended(node, restarts=restarts, policy=policy, exit_code=0)
        assert await restart.keep_up(work) == DONE
        assert status(work).restart_count == restarts
        assert status(work).reason == "EngineStopped"
    assert node.engine.calls == [START] * 3


async def test_a_container_that_cannot_be_started_as_it_is_is_to_be_made_anew(node: World) -> None:
    """Somebody else has its port now, or has removed its network: starting it again is no use."""
    node.engine.start_refused = "Bind for 0.0.0.0:10001 failed: port is already allocated"
    work = ended(node)
    failed = await restart.keep_up(work)
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.after) == (reasons.LAUNCH_FAILED, 1.0)
    assert "port is already allocated" in failed.message
    assert (node.engine.states, work.containers) == ({}, [])
    assert node.services.gate.held == 0


async def test_one_that_runs_without_its_network_is_made_anew_under_the_gate(node: World) -> None:
    """Somebody has disconnected it: it runs, and answers nobody."""
    node.engine.states = {"web": "running"}
    work = node.work()
    work.containers = [replace(found, network="gone") for found in node.found(work)]
    node.services.gate.request("other", gate.Work.LAUNCH)
    waiting = await restart.keep_up(work)
    assert isinstance(waiting, Waiting)
    assert (waiting.reason, node.engine.calls) == (reasons.WAITING_FOR_LAUNCH_SLOT, [])
    node.services.gate.release("other")
    failed = await restart.keep_up(work)
    assert isinstance(failed, Failed)
    assert "web is not on its network any more" in failed.message
    assert (node.engine.states, work.containers) == ({}, [])
    assert node.services.gate.held == 0


async def test_a_network_that_may_be_amiss_is_given_to_nobody_else(node: World) -> None:
    subnet = IPv4Network("10.213.0.0/27")
    node.engine.creates = True
    node.engine.start_refused = "network chal-own not found"
    work = ended(node)
    name = await node.services.own_networks.take(work.owner, subnet, labels.EGRESS_NONE)
    node.engine.networks[name] = {}
    await restart.keep_up(work)
    assert node.services.own_networks.spare == 0
    assert node.engine.networks == {}


async def test_one_that_is_removed_as_it_is_looked_at_is_looked_for_again_at_once(
    node: World,
) -> None:
    """`docker rm -f` ends a container before it removes it."""
    work = ended(node)
    node.engine.states = {}
    failed = await restart.keep_up(work)
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.after) == (reasons.CONTAINER_EXITED, 0.0)
    assert status(work).restart_count == 0
