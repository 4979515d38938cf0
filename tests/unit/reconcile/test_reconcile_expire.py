"""When an instance's time is over, and what becomes of one that is to be retained."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.api import conditions, reasons
from controller.api.instance import ChallengeInstance
from controller.api.values import rfc3339
from controller.ledger import Ledger
from controller.reconcile import gate
from controller.reconcile.expire import cut, deadline, expire, lifetime
from controller.reconcile.result import DONE, Ended, Waiting
from controller.reconcile.work import Work
from controller.runtime import labels
from tests.unit.reconcile.world import NOON, UID, World, template

HOUR = timedelta(hours=1)


def instance(
    spec: dict[str, Any] | None = None,
    policy: dict[str, Any] | None = None,
    ready: datetime | None = NOON,
    owner: str = "",
    **status: Any,
) -> ChallengeInstance:
    meta: dict[str, Any] = {"name": "web", "namespace": "team", "uid": UID, "generation": 1}
    if owner:
        group = "challenge-controller.io/v1alpha1"
        reference = {"kind": owner, "name": "x", "uid": "x", "apiVersion": group}
        meta["ownerReferences"] = [reference | {"controller": True}]
    shown = {"readyTime": rfc3339(ready)} if ready else {}
    return ChallengeInstance.model_validate(
        {
            "metadata": meta,
            "spec": {"template": template()} | (spec or {}),
            "status": shown | ({"policy": policy} if policy else {}) | status,
        }
    )


def end(of: ChallengeInstance, now: datetime = NOON, default: str = "1h") -> datetime | None:
    return deadline(of, of.status, now, default)


@pytest.mark.parametrize(
    ("ttl", "policy", "expected"),
    [
        (None, None, "1h"),
        ("10m", None, "10m"),
        ("0", None, "0"),
        (None, {"ttl": {"default": "30m"}}, "30m"),
        ("10m", {"ttl": {"default": "30m"}}, "10m"),
        ("3h", {"ttl": {"maximum": "2h"}}, "2h"),
        ("0", {"ttl": {"maximum": "2h"}}, "2h"),
        ("2h", {"ttl": {"maximum": "2h"}}, "2h"),
        (None, {"ttl": {"maximum": "30m"}}, "30m"),
        (None, {"ttl": {"default": "0"}}, "0"),
    ],
)
def test_the_instances_own_time_goes_before_its_challenges_and_never_above_the_maximum(
    ttl: str | None, policy: dict[str, Any] | None, expected: str
) -> None:
    of = instance({"ttl": ttl} if ttl else None, policy)
    units = {"h": 3600, "m": 60, "0": 0}
    seconds = int(expected.rstrip("hm")) * units[expected[-1]]
    assert lifetime(of, of.status, "1h") == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("ttl", "maximum", "told"),
    [
        ("3h", "2h", "spec.ttl: 3h is above the Challenge's maximum of 2h"),
        ("0", "2h", "spec.ttl: 0 (for ever) is above the Challenge's maximum of 2h"),
        ("120m", "2h", ""),
        ("0", None, ""),
        (None, "30m", ""),
    ],
)
def test_who_asks_for_more_time_than_there_is_is_told(
    ttl: str | None, maximum: str | None, told: str
) -> None:
    of = instance({"ttl": ttl} if ttl else None, {"ttl": {"maximum": maximum}} if maximum else None)
    assert cut(of, of.status).startswith(told)
    assert bool(cut(of, of.status)) == bool(told)


def test_an_instance_that_was_not_up_yet_does_not_expire() -> None:
    assert end(instance({"ttl": "1s"}, ready=None), NOON + 10 * HOUR) is None


def test_an_instance_of_a_pool_never_expires() -> None:
    policy = {"ttl": {"maximum": "1h"}, "maxLifetime": "2h"}
    assert end(instance({"ttl": "0"}, policy, owner="ChallengePool", poolUID="x")) is None
    assert end(instance({"ttl": "0"}, policy, owner="Portal", poolUID="x")) is not None


@pytest.mark.parametrize("status", [{}, {"poolUID": "another"}])
def test_who_says_to_be_a_pools_and_is_not_expires(status: dict[str, Any]) -> None:
    """Anybody can write an ownerReference; only the manager writes the status."""
    policy = {"ttl": {"maximum": "1h"}}
    of = instance({"ttl": "0"}, policy, owner="ChallengePool", **status)
    assert end(of) == NOON + HOUR


def test_one_that_its_pool_has_left_behind_expires_as_others_do() -> None:
    """After `kubectl delete --cascade=orphan`."""
    of = instance({"ttl": "0"}, {"ttl": {"maximum": "1h"}}, poolUID="x")
    assert end(of) == NOON + HOUR


def test_for_ever_is_for_ever() -> None:
    assert end(instance({"ttl": "0"})) is None
    assert end(instance(), default="0") is None


@pytest.mark.parametrize(
    ("renewed", "expected"),
    [
        (NOON - HOUR, NOON + HOUR),
        (NOON + HOUR / 2, NOON + HOUR * 1.5),
        (NOON + HOUR * 100, NOON + HOUR * 3),
    ],
)
def test_a_renewal_counts_from_when_it_was_made_and_one_in_the_future_from_now(
    renewed: datetime, expected: datetime
) -> None:
    of = instance({"renewTime": rfc3339(renewed)})
    assert end(of, NOON + 2 * HOUR) == expected


def test_a_renewal_in_the_future_does_not_renew_itself_at_each_look() -> None:
    """One of next year would be a life without end, whatever the Challenge's maximum says."""
    of = instance({"renewTime": rfc3339(NOON + 1000 * HOUR)})
    first = end(of)
    assert first == NOON + HOUR
    of.status.expiration_time, of.status.observed_generation = first, 1
    for later in (HOUR / 2, HOUR, 2000 * HOUR):
        assert end(of, NOON + later) == first


def test_renewing_again_or_a_new_ttl_counts_at_once() -> None:
    of = instance({"renewTime": rfc3339(NOON + 1000 * HOUR)}, observedGeneration=1)
    of.status.expiration_time = NOON + HOUR
    of.metadata.generation = 2
    assert end(of, NOON + HOUR / 2) == NOON + HOUR * 1.5


def test_no_renewal_goes_past_the_longest_lifetime() -> None:
    policy = {"maxLifetime": "2h"}
    of = instance({"renewTime": rfc3339(NOON + 1.5 * HOUR)}, policy)
    assert end(of, NOON + 1.5 * HOUR) == NOON + 2 * HOUR
    assert end(instance({"ttl": "0"}, policy)) == NOON + 2 * HOUR


@settings(max_examples=40)
@given(
    ttl=st.integers(1, 10_000),
    renewed=st.integers(-10_000, 100_000),
    now=st.integers(0, 50_000),
    longest=st.none() | st.integers(1, 20_000),
)
def test_a_deadline_is_never_before_the_time_asked_for_nor_past_what_is_allowed(
    ttl: int, renewed: int, now: int, longest: int | None
) -> None:
    at = NOON + timedelta(seconds=now)
    spec = {"ttl": f"{ttl}s", "renewTime": rfc3339(NOON + timedelta(seconds=renewed))}
    found = end(instance(spec, {"maxLifetime": f"{longest}s"} if longest else None), at)
    assert found is not None
    life = timedelta(seconds=ttl)
    assert found <= max(NOON, at) + life
    if longest is None:
        assert found >= NOON + life
    else:
        assert NOON < found <= NOON + timedelta(seconds=longest)


def over(node: World, policy: str = "Retain") -> Work:
    """An instance with a port and a container, whose time is over."""
    node.services.ledger.reserve(UID, ["web-80-tcp"], namespace="team", name="web", now=0)
    node.services.ledger.begin_attempt(UID, now=1)
    node.engine.states = {"web": "running"}
    work = node.work({"template": template(), "onExpiry": policy})
    node.found(work)
    work.status.expiration_time = work.now
    return work


async def test_before_its_time_an_instance_is_left_alone(node: World) -> None:
    work = over(node)
    work.status.expiration_time = work.now + timedelta(seconds=1)
    work.condition(conditions.EXPIRED, True, "Expired")
    assert await expire(work) == DONE
    assert not conditions.is_true(work.status.conditions, conditions.EXPIRED)
    assert node.engine.states == {"web": "running"}


async def test_deleting_is_the_managers_part(node: World) -> None:
    assert await expire(over(node, "Delete")) == DONE
    assert node.engine.states == {"web": "running"}


async def test_what_is_about_to_be_deleted_and_was_ended_already_is_not_launched_again(
    node: World,
) -> None:
    """A cut-off agent has ended it; the API server is back, and the manager not yet done."""
    work = over(node, "Delete")
    work.containers = []
    result = await expire(work)
    assert isinstance(result, Waiting)
    assert (result.reason, result.after) == (reasons.EXPIRED, None)


async def test_one_that_is_retained_loses_containers_and_ports_and_stays(node: World) -> None:
    work = over(node)
    assert await expire(work) == Ended()
    assert node.engine.states == {}
    assert node.services.ledger.get(UID) is None
    assert conditions.is_true(work.status.conditions, conditions.EXPIRED)
    assert (work.status.ports, work.status.address) == ([], None)
    assert node.services.gate.held == 0
    assert await expire(work) == Ended()


async def test_with_the_last_container_the_networks_go_though_its_object_stays(node: World) -> None:
    node.engine.networks = {"shared": {labels.NETWORK_KIND: labels.KIND_SHARED}}
    node.services.seen[UID] = "7"
    assert await expire(over(node)) == Ended()
    assert node.engine.networks == {}


async def test_its_removal_waits_for_its_turn(node: World) -> None:
    node.services.gate.request("other", gate.Work.LAUNCH)
    work = over(node)
    assert isinstance(await expire(work), Waiting)
    assert node.engine.states == {"web": "exited"}, "asked to end, and not yet removed"
    assert node.services.ledger.get(UID) is not None
    assert Ledger.get(node.services.ledger, UID) == work.row
