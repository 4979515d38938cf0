"""`kubectl challenge forget-node`: only a node that is gone, and only if somebody says so."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.cli.fake_api import LEASES, NODES, FakeApi, Object, status
from tests.unit.cli.operator import FakeTime, Operator, ago

GONE = "challengenode.challenge-controller.io/node-1 forgotten\n"


def micro_time(**before: float) -> str:
    moment = datetime.now(UTC) - timedelta(**before)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def lease(api: FakeApi, namespace: str = "challenge-system", **before: float) -> Object:
    meta = {"name": "node-node-1", "namespace": namespace}
    spec = {
        "holderIdentity": "engine",
        "leaseDurationSeconds": 40,
        "renewTime": micro_time(**before),
    }
    return api.put(LEASES.replace("challenge-system", namespace), {"metadata": meta, "spec": spec})


def renew(api: FakeApi) -> Callable[[], Object]:
    return lambda: lease(api, seconds=0)


def test_a_silent_node_goes_with_its_lease(operator: Operator, passing: FakeTime) -> None:
    operator.node("node-1", ready="Unknown")
    lease(operator.api, minutes=10)

    done = operator("forget-node", "node-1", "--yes")

    assert (done.exit_code, done.stdout) == (0, GONE)
    assert operator.api.objects == {}
    assert operator.api.changes() == [
        ("DELETE", f"{NODES}/node-1"),  # tried only
        ("DELETE", f"{LEASES}/node-node-1"),
        ("DELETE", f"{NODES}/node-1"),
    ]
    assert 12 <= passing.seconds <= 14  # longer than the quarter after which an agent renews


def test_a_node_that_lives_is_kept(operator: Operator, passing: FakeTime) -> None:
    operator.node("node-1")
    lease(operator.api, seconds=7)

    done = operator("forget-node", "node-1", "--yes")

    assert done.exit_code == 5
    assert re.search(r"node-1 seems to live: it renewed its Lease \d+ s ago", done.stderr)
    assert "expected a silence of more than 40 s" in done.stderr
    assert operator.api.changes() == []
    assert "--force" not in operator("forget-node", "--help").output


@pytest.mark.parametrize("skew", [timedelta(hours=-1), timedelta(hours=1)])
def test_a_node_that_lives_by_a_wrong_clock_is_kept(
    operator: Operator, passing: FakeTime, skew: timedelta
) -> None:
    operator.node("node-1")
    lease(operator.api, seconds=skew.total_seconds())
    passing.events = {9.0: lambda: lease(operator.api, seconds=skew.total_seconds() - 10)}

    done = operator("forget-node", "node-1", "--yes")

    assert done.exit_code == 5
    assert "has renewed its Lease just now" in done.stderr
    assert operator.api.changes() == []


def test_an_agent_that_returns_at_the_last_moment_keeps_its_node(
    operator: Operator, passing: FakeTime
) -> None:
    operator.node("node-1")
    lease(operator.api, minutes=10)

    def returns(method: str, path: str) -> None:
        if method == "DELETE" and path.startswith(NODES):
            lease(operator.api, seconds=0)

    operator.api.before = returns
    done = operator("forget-node", "node-1", "--yes")

    assert done.exit_code == 5
    assert "has renewed its Lease just now" in done.stderr
    assert sorted(operator.api.objects) == [f"{NODES}/node-1", f"{LEASES}/node-node-1"]


def test_who_may_not_delete_the_node_leaves_the_lease_alone(
    operator: Operator, passing: FakeTime
) -> None:
    operator.node("node-1")
    lease(operator.api, minutes=10)
    operator.api.before = lambda method, path: (
        status(403, "Forbidden", "no") if (method, path) == ("DELETE", f"{NODES}/node-1") else None
    )
    done = operator("forget-node", "node-1", "--yes")
    assert done.exit_code == 1
    assert "right to delete challengenodes.challenge-controller.io in the whole" in done.stderr
    assert f"{LEASES}/node-node-1" in operator.api.objects


def test_it_asks_and_says_what_becomes_of_the_instances(
    operator: Operator, passing: FakeTime
) -> None:
    operator.node("node-1", ready="Unknown")
    operator.instance("echo-1", pool=True)
    operator.instance("alice", user="alice")
    operator.instance("bob", user="bob")
    operator.instance("carol", meta={"deletionTimestamp": ago(seconds=1)})
    operator.instance("elsewhere", node="node-2")

    kept = operator("forget-node", "node-1", answer="n\n")
    unanswered = operator("forget-node", "node-1")

    assert (kept.exit_code, unanswered.exit_code) == (5, 5)
    assert (
        "node-1 has 4 instances: 2 of players' and 1 of pools, which start anew on other nodes; "
        "1 being deleted, gone then"
    ) in kept.stdout
    assert "Forget node-1, whose host never comes back? [y/N]:" in kept.stdout
    assert "nobody has answered; --yes answers" in unanswered.stderr
    assert operator.api.changes() == []
    assert operator("forget-node", "node-1", answer="y\n").stdout.endswith(GONE)


@pytest.mark.parametrize("left", ["node", "lease"])
def test_what_was_left_half_done_is_done(operator: Operator, passing: FakeTime, left: str) -> None:
    if left == "node":
        operator.node("node-1")
    else:
        lease(operator.api, minutes=10)
    assert operator("forget-node", "node-1", "--yes").exit_code == 0
    assert operator.api.objects == {}


def test_the_leases_namespace_can_be_another(operator: Operator, passing: FakeTime) -> None:
    operator.node("node-1")
    operator.environment["CHALLENGE_CONTROLLER_NAMESPACE"] = "elsewhere"
    assert operator("forget-node", "node-1", "--yes").exit_code == 0
    asked = [path for _, path in operator.api.requests]
    assert LEASES.replace("challenge-system", "elsewhere") + "/node-node-1" in asked


def test_a_node_of_an_installation_elsewhere_is_judged_by_the_lease_that_its_agent_names(
    operator: Operator, passing: FakeTime
) -> None:
    node = operator.node("node-1")
    node["status"]["controllerNamespace"] = "exam-system"
    operator.api.put(NODES, node)
    lease(operator.api, "exam-system", seconds=7)

    done = operator("forget-node", "node-1", "--yes")

    assert done.exit_code == 5
    assert "node-1 seems to live" in done.stderr
    assert operator.api.changes() == []
