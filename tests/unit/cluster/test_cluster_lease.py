"""Leases: one holder at a time, which another one replaces only when it has been silent."""

import asyncio
from typing import Any

import pytest

from controller.cluster.client import LEASES
from controller.cluster.errors import ApiUnavailable, Conflict, NotFound
from controller.cluster.lease import RETRY, HeldElsewhere, Lease
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.reconcile.virtual_time import now, settle, virtual

NAMESPACE = "challenge-system"
DURATION = 16


def lease(cluster: FakeCluster, identity: str, duration: int = DURATION) -> Lease:
    return Lease(cluster, NAMESPACE, "challenge-manager", identity, duration, monotonic=now)


def spec(cluster: FakeCluster) -> Any:
    return cluster.read(LEASES, "challenge-manager", NAMESPACE)["spec"]


async def away(_method: str, _path: str) -> None:
    raise ApiUnavailable("The API server does not answer: refused")


async def hang(_method: str, _path: str) -> None:
    await asyncio.Event().wait()


@virtual
async def test_the_first_one_makes_the_lease_and_has_it() -> None:
    cluster = FakeCluster()
    assert await lease(cluster, "first").take() == "first"
    held = spec(cluster)
    assert (held["holderIdentity"], held["leaseDurationSeconds"]) == ("first", DURATION)
    assert held["renewTime"].endswith("Z")


@virtual
async def test_renewing_keeps_since_when_it_is_held() -> None:
    cluster = FakeCluster()
    first = lease(cluster, "first")
    await first.take()
    before = spec(cluster)
    assert await first.take() == "first"
    after = spec(cluster)
    assert after["acquireTime"] == before["acquireTime"]
    assert after["leaseTransitions"] == before["leaseTransitions"]
    assert after["renewTime"] > before["renewTime"]


@virtual
async def test_a_second_one_is_told_who_has_it_as_long_as_that_one_renews() -> None:
    cluster = FakeCluster()
    first, second = lease(cluster, "first"), lease(cluster, "second")
    for _ in range(10):
        assert await first.take() == "first"
        assert await second.take() == "first"
        await asyncio.sleep(DURATION * 0.9)


@virtual
async def test_silence_for_longer_than_the_holders_own_duration_loses_it() -> None:
    cluster = FakeCluster()
    await lease(cluster, "first", duration=40).take()
    second = lease(cluster, "second", duration=4)
    assert await second.take() == "first"
    await asyncio.sleep(40)
    assert await second.take() == "first"
    await asyncio.sleep(0.1)
    transitions = spec(cluster)["leaseTransitions"]
    assert await second.take() == "second"
    assert spec(cluster)["leaseTransitions"] == transitions + 1


@virtual
async def test_a_record_however_old_is_judged_by_what_was_seen_of_it() -> None:
    """Hosts' clocks need not agree: a renewTime of last year may be a minute ago."""
    cluster = FakeCluster()
    cluster.put(
        LEASES,
        {
            "metadata": {"name": "challenge-manager", "namespace": NAMESPACE},
            "spec": {
                "holderIdentity": "slow clock",
                "leaseDurationSeconds": DURATION,
                "renewTime": "1999-01-01T00:00:00.000000Z",
            },
        },
    )
    assert await lease(cluster, "second").take() == "slow clock"


@virtual
async def test_a_lease_given_up_is_taken_at_once() -> None:
    cluster = FakeCluster()
    first, second = lease(cluster, "first"), lease(cluster, "second")
    await first.take()
    await second.release()
    assert await second.take() == "first"
    await first.release()
    assert await second.take() == "second"


@virtual
async def test_of_two_that_take_it_at_once_one_has_it_and_the_other_is_told_so() -> None:
    cluster = FakeCluster()

    async def slow(_method: str, _path: str) -> None:
        await asyncio.sleep(0)

    cluster.before = slow
    first, second = lease(cluster, "first"), lease(cluster, "second")
    assert set(await asyncio.gather(first.take(), second.take())) == {"first"}
    await asyncio.sleep(DURATION * 2)
    third = lease(cluster, "third")
    await asyncio.gather(second.take(), third.take())
    await asyncio.sleep(DURATION * 2)
    holders = await asyncio.gather(second.take(), third.take())
    assert len(set(holders)) == 1
    assert spec(cluster)["holderIdentity"] == holders[0]


@virtual
async def test_a_lease_taken_over_during_a_renewal_is_not_taken_for_renewed() -> None:
    """The manager would act beside the new one for another quarter of the duration."""
    cluster = FakeCluster()
    first = lease(cluster, "first")
    await first.take()

    async def taken_over(method: str, _path: str) -> None:
        if method == "PUT":
            cluster.before = None
            cluster.put(
                LEASES,
                {
                    "metadata": {"name": "challenge-manager", "namespace": NAMESPACE},
                    "spec": spec(cluster) | {"holderIdentity": "second", "renewTime": "later"},
                },
            )

    cluster.before = taken_over
    assert await first.take() == "second"


@virtual
async def test_a_change_by_somebody_else_does_not_cost_the_lease() -> None:
    cluster = FakeCluster()
    first = lease(cluster, "first")
    await first.take()

    async def annotated(method: str, _path: str) -> None:
        if method == "PUT":
            cluster.before = None
            cluster.put(LEASES, cluster.read(LEASES, "challenge-manager", NAMESPACE))

    cluster.before = annotated
    assert await first.take() == "first"


@virtual
async def test_a_lease_deleted_at_any_time_is_made_again() -> None:
    cluster = FakeCluster()
    first = lease(cluster, "first")
    await first.take()

    async def deleted(method: str, _path: str) -> None:
        if method == "PUT":
            cluster.objects.clear()

    cluster.before = deleted
    assert await first.take() == "first"
    assert spec(cluster)["holderIdentity"] == "first"


@virtual
async def test_a_missing_namespace_is_an_error_and_not_waited_for() -> None:
    cluster = FakeCluster()

    async def missing(method: str, _path: str) -> None:
        if method == "POST":
            raise NotFound(404, "NotFound", 'namespaces "challenge-system" not found', {})

    cluster.before = missing
    with pytest.raises(NotFound, match="challenge-system"):
        await lease(cluster, "first").take()


@virtual
async def test_waiting_ends_as_soon_as_the_holder_is_silent_for_long_enough() -> None:
    cluster = FakeCluster()
    await lease(cluster, "first").take()
    await lease(cluster, "second").wait()
    assert DURATION < now() <= DURATION * 1.5
    assert spec(cluster)["holderIdentity"] == "second"


@pytest.mark.parametrize("offset", [0.0, 0.4, 0.9, 1.4])
def test_another_manager_takes_over_within_20_s_of_a_kill(offset: float) -> None:
    """With the usual 15 s, whenever the holder has renewed last and the other one looked."""

    @virtual
    async def check() -> None:
        cluster = FakeCluster()
        first = lease(cluster, "first", duration=15)
        await first.take()
        waiting = asyncio.create_task(lease(cluster, "second", duration=15).wait())
        await asyncio.sleep(3 + offset)
        await first.take()
        killed = now()
        await waiting
        assert 15 <= now() - killed <= 15 + 1.6

    check()


@virtual
async def test_an_api_server_that_is_away_or_hangs_is_waited_for() -> None:
    cluster = FakeCluster()
    cluster.before = away
    loop = asyncio.get_running_loop()
    loop.call_later(100, setattr, cluster, "before", hang)
    loop.call_later(200, setattr, cluster, "before", None)
    await lease(cluster, "first").wait(patience=5.0)
    assert 200 <= now() < 200 + DURATION


@virtual
async def test_patience_ends_with_the_holders_name() -> None:
    cluster = FakeCluster()
    first = lease(cluster, "engine ABC")
    await first.take()
    keeping = asyncio.create_task(first.keep(lost_after=None))
    with pytest.raises(HeldElsewhere, match="challenge-manager is held by engine ABC"):
        await lease(cluster, "engine XYZ").wait(patience=80.0)
    assert 80 < now() < 90
    keeping.cancel()


@virtual
async def test_keeping_renews_often_enough_that_nobody_else_gets_it() -> None:
    cluster = FakeCluster()
    first = lease(cluster, "first")
    await first.take()
    keeping = asyncio.create_task(first.keep(lost_after=DURATION * 2 / 3))
    second = lease(cluster, "second")
    while now() < DURATION * 10:
        assert await second.take() == "first"
        await asyncio.sleep(1)
    keeping.cancel()


@virtual
async def test_keeping_ends_when_another_one_has_it() -> None:
    cluster = FakeCluster()
    first = lease(cluster, "first")
    await first.take()
    keeping = asyncio.create_task(first.keep(lost_after=None))
    await asyncio.sleep(1)
    body = cluster.read(LEASES, "challenge-manager", NAMESPACE)
    cluster.put(LEASES, body | {"spec": body["spec"] | {"holderIdentity": "second"}})
    await keeping
    assert now() <= 1 + DURATION / 4


@pytest.mark.parametrize("faults", [[away], [hang], [away, away, hang], [away, hang, hang]])
def test_a_manager_cut_off_stops_before_another_one_may_begin(faults: list[Any]) -> None:
    """However the renewals fail: refused at once, unanswered, or first this and then that."""

    @virtual
    async def check() -> None:
        cluster = FakeCluster()
        first = lease(cluster, "first")
        await first.take()
        tries = 0

        async def fault(method: str, path: str) -> None:
            nonlocal tries
            tries += 1
            await faults[min(tries, len(faults)) - 1](method, path)

        cluster.before = fault
        await first.keep(lost_after=DURATION * 2 / 3)
        assert now() <= DURATION * 2 / 3 + 0.001

    check()


@virtual
async def test_an_agent_cut_off_goes_on_trying() -> None:
    cluster = FakeCluster()
    first = lease(cluster, "first")
    await first.take()
    keeping = asyncio.create_task(first.keep(lost_after=None))
    await settle()
    cluster.before = hang
    await asyncio.sleep(DURATION * 20)
    assert not keeping.done()
    cluster.before = None
    before = spec(cluster)["renewTime"]
    await asyncio.sleep(DURATION)
    assert spec(cluster)["renewTime"] > before
    keeping.cancel()


@virtual
async def test_the_end_of_an_outage_is_noticed_soon() -> None:
    cluster = FakeCluster()
    first = lease(cluster, "first", duration=40)
    await first.take()
    keeping = asyncio.create_task(first.keep(lost_after=None))
    cluster.before = away
    await asyncio.sleep(203)
    assert first.silence >= 202
    cluster.before = None
    await first.renewed()
    assert now() <= 203 + RETRY
    keeping.cancel()


@virtual
async def test_a_lease_lapses_when_it_was_not_renewed_for_its_duration() -> None:
    cluster = FakeCluster()
    first = lease(cluster, "first", duration=40)
    await first.take()
    keeping = asyncio.create_task(first.keep(lost_after=None))
    lapsed = asyncio.create_task(first.lapsed())
    await asyncio.sleep(500)
    assert not lapsed.done()
    cluster.before = hang
    await lapsed
    assert 530 <= now() <= 541
    keeping.cancel()


@virtual
async def test_who_is_overtaken_again_and_again_does_not_race() -> None:
    cluster = FakeCluster()
    first = lease(cluster, "first")
    await first.take()

    async def overtaken(method: str, _path: str) -> None:
        if method == "PUT":
            raise Conflict(409, "Conflict", "changed", {})

    cluster.before = overtaken
    with pytest.raises(TimeoutError):
        await first.take()
    assert 5 <= cluster.count("PUT") <= 12, "within half of its duration, 8 s"
