"""What happens to containers after the launch, on a real engine: they end, and are asked to."""

from typing import Any

import pytest

from controller.api import conditions, reasons
from controller.api.annotations import RESTARTED_AT
from controller.ledger import Ledger
from controller.reconcile.instance import InstanceReconciler
from controller.runtime import labels
from hack.bed.bed import Bed
from tests.integration.reconcile.node import Node, node, template

GREEDY = "x=x; while :; do x=$x$x; done"


def shell(image: str, script: str, **fields: Any) -> dict[str, Any]:
    """A container that runs a script."""
    made = template(image, "web")
    made["containers"][0] |= {"args": ["bash", "-c", script]} | fields
    return made


async def test_a_crash_loop_names_the_exit_code_and_the_want_of_memory(
    bed: Bed, ledger: Ledger, image: str
) -> None:
    here = node(bed.docker_host, ledger, restart_budget=1)
    limits = {"resources": {"limits": {"memory": "16Mi"}}}
    key = here.apply(shell(image, GREEDY, **limits))
    status = await here.until(key, lambda _: here.reason(key) == reasons.CRASH_LOOP)
    (container,) = status.containers
    assert (container.restart_count, container.exit_code) == (1, 137)
    assert container.reason == "OOMKilled"
    stalled = conditions.get(status.conditions, conditions.STALLED)
    assert stalled is not None
    assert "exit code 137 (OOMKilled) after 1 restarts" in stalled.message
    await here.clear()


async def test_an_asked_for_restart_makes_the_containers_anew_once_on_the_same_ports(
    here: Node, image: str
) -> None:
    shape = template(image, "web", "db")
    key = here.apply(shape, annotations={RESTARTED_AT: "from the beginning"})
    before = await here.up(key)
    first = {state.id for state in await here.containers(key)}
    await here.look(key)
    assert {state.id for state in await here.containers(key)} == first

    here.apply(shape, annotations={RESTARTED_AT: "2026-01-31T12:00:00Z"})
    after = await here.until(key, lambda status: here.reason(key) == reasons.READY)
    second = {state.id for state in await here.containers(key)}
    assert (len(second), second & first) == (2, set())
    assert after.ports == before.ports
    assert [container.restart_count for container in after.containers] == [0, 0]

    restarted_agent = InstanceReconciler(here.services, here.forgotten.append)
    await restarted_agent.reconcile(key)
    assert {state.id for state in await here.containers(key)} == second


async def test_an_asked_for_restart_ends_a_crash_loop(bed: Bed, ledger: Ledger, image: str) -> None:
    here = node(bed.docker_host, ledger, restart_budget=0)
    shape = shell(image, "exit 3")
    key = here.apply(shape)
    await here.until(key, lambda _: here.reason(key) == reasons.CRASH_LOOP)
    (old,) = await here.containers(key)
    here.apply(shape, annotations={RESTARTED_AT: "1"})
    await here.look(key)
    (new,) = await here.containers(key)
    assert new.id != old.id
    await here.clear()


@pytest.mark.parametrize("how", ["retained", "orphaned", "moved", "deleted"])
async def test_containers_have_their_grace_on_every_way_out(
    here: Node, image: str, how: str
) -> None:
    """The script ends itself within it: killed, it could not have said so."""
    script = "trap 'exit 7' TERM; touch /tmp/set; while :; do sleep 0.1; done"
    ready = {"exec": {"command": ["bash", "-c", "[ -e /tmp/set ]"]}, "timeoutSeconds": 10}
    shape = shell(image, script, readinessProbe=ready | {"periodSeconds": 1})
    shape |= {"terminationGracePeriodSeconds": 60}
    key = here.apply(shape)
    await here.up(key)
    body = here.read(key)
    if how == "retained":
        body["spec"] |= {"onExpiry": "Retain", "ttl": "1s"}
        body["status"]["readyTime"] = "2026-01-31T12:00:00Z"
        body["metadata"]["generation"] = 2
    elif how == "orphaned":
        body["metadata"]["uid"] = "another"
    elif how == "moved":
        body["status"]["nodeName"] = "elsewhere"
    else:
        body["metadata"]["deletionTimestamp"] = "2026-01-31T12:00:00Z"
    here.put(body)
    await here.until_gone(key)
    assert await here.exit_codes(labels.container_name(key.uid, "web")) == ["7"]
    assert (await here.containers(key), here.held()) == ([], 0)
