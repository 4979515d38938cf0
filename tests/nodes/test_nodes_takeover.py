"""A manager that is killed, and how soon the other one places: with the timers of production."""

import json
import time

import pytest

from controller.settings import Settings
from hack.bed.cluster import NAMESPACE
from hack.bed.controllers import MANAGER_LEASE
from tests.integration.world import Object, container, instance, until
from tests.nodes.nodes import TIMERS, Nodes

PRODUCTION = {
    name: str(Settings.model_fields[name.removeprefix("CHALLENGE_").lower()].default)
    for name in TIMERS
}
MOST = 2 * float(PRODUCTION["CHALLENGE_MANAGER_LEASE_DURATION"])
"""Seconds from the death of a manager to the first placement by the other one, at most: a machine
that is not busy with more needs little more than the Lease lasts."""


def lease(nodes: Nodes) -> Object:
    """The managers' Lease."""
    out = nodes.kubectl("get", "lease", MANAGER_LEASE, "-n", NAMESPACE, "-o", "json").stdout
    found: Object = json.loads(out)["spec"]
    return found


@pytest.mark.slow
def test_another_manager_places_soon_after_a_kill(nodes: Nodes, echo_image: str) -> None:
    nodes.fleet.manager.stop()
    first = nodes.fleet.start_manager(env=PRODUCTION)
    first.wait_until_serving()
    spare = nodes.fleet.start_manager("manager-spare", env=PRODUCTION)
    until(lambda: "Waiting for the Lease" in spare.logs())
    nodes.apply(*(instance(f"before-{n}", container(echo_image)) for n in range(3)))
    nodes.wait("Ready")
    placed = nodes.placed()

    # The worst moment: it has just said that it lives.
    held = lease(nodes)
    assert held["leaseDurationSeconds"] == Settings.model_fields["manager_lease_duration"].default
    until(lambda: lease(nodes)["renewTime"], lambda at: at != held["renewTime"])
    first.kill()
    killed = time.monotonic()
    nodes.apply(instance("after", container(echo_image)))
    until(nodes.placed, lambda now: "after" in now, timeout=3 * MOST)
    took = time.monotonic() - killed
    print(f"placed {took:.1f} s after the kill")

    assert took < MOST
    assert lease(nodes)["holderIdentity"] != held["holderIdentity"]
    nodes.wait("Ready")
    assert {name: node for name, node in nodes.placed().items() if name != "after"} == placed
    nodes.assert_all_answer()
