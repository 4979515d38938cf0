"""Instances are deleted when their time is over: not before, not another one, and once."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from controller.api.instance import ChallengeInstance
from controller.api.values import rfc3339
from controller.cluster.client import INSTANCES
from controller.cluster.errors import ApiUnavailable
from controller.manager.expiry import RETRY, Expiry
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.manager.objects import instance_body
from tests.unit.reconcile.virtual_time import now, virtual
from tests.unit.reconcile.world import NOON


class Ticks:
    """A clock that goes on a microsecond with each look, as a real one does."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> datetime:
        """Noon and the loop's time."""
        self.looks += 1
        return NOON + timedelta(seconds=now(), microseconds=self.looks)


class Deleting:
    """A cluster, and an expiry that observes what is put into it."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.expiry = Expiry(self.cluster, now=Ticks())
        self.task = asyncio.create_task(self.expiry.run())

    def put(self, name: str, after: float | None, **rest: Any) -> ChallengeInstance:
        """An instance whose time is over so many seconds from noon; noticed by the watch."""
        end = {} if after is None else {"expirationTime": rfc3339(NOON + timedelta(seconds=after))}
        status = {"observedGeneration": 1} | end
        body = self.cluster.put(INSTANCES, instance_body(name, status=status, **rest))
        seen = ChallengeInstance.model_validate(body)
        self.expiry.observe(seen)
        return seen

    @property
    def left(self) -> list[str]:
        """The instances that there are."""
        return sorted(path.rpartition("/")[2] for path in self.cluster.objects)


@virtual
async def test_each_is_deleted_at_its_time_in_whatever_order_they_were_seen() -> None:
    served = Deleting()
    for name, after in (("c", 300), ("a", 100), ("b", 200)):
        served.put(name, after)
    await asyncio.sleep(99)
    assert served.left == ["a", "b", "c"]
    await asyncio.sleep(2)
    assert served.left == ["b", "c"]
    await asyncio.sleep(100)
    assert served.left == ["c"]
    await asyncio.sleep(100)
    assert served.left == []
    served.task.cancel()


@virtual
async def test_one_that_changes_while_it_is_being_deleted_is_deleted_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its agent writes a status in the same moment: the delete is refused, the news is no later."""
    served = Deleting()
    delete = served.cluster.delete

    async def beaten(*args: Any, **kwargs: Any) -> None:
        monkeypatch.undo()
        served.put("brief", 10)
        await delete(*args, **kwargs)

    monkeypatch.setattr(served.cluster, "delete", beaten)
    served.put("brief", 10)
    await asyncio.sleep(20)
    assert served.left == []
    served.task.cancel()


@virtual
async def test_the_latest_word_counts() -> None:
    served = Deleting()
    served.put("renewed", 100)
    served.put("renewed", 300)
    served.put("shortened", 300)
    served.put("shortened", 50)
    served.put("for-ever", 100)
    served.put("for-ever", None)
    await asyncio.sleep(150)
    assert served.left == ["for-ever", "renewed"]
    await asyncio.sleep(200)
    assert served.left == ["for-ever"]
    served.task.cancel()


@virtual
async def test_retained_deleted_and_forgotten_ones_are_left_alone() -> None:
    served = Deleting()
    served.put("retained", 10, spec={"onExpiry": "Retain"})
    served.put("deleting", 10, deletionTimestamp="2026-01-31T12:00:00Z")
    served.expiry.forget(served.put("gone", 10).metadata.uid)
    await asyncio.sleep(100)
    assert served.left == ["deleting", "gone", "retained"]
    assert served.cluster.requests == []
    served.task.cancel()


@virtual
async def test_one_that_was_seen_often_is_asked_to_go_once() -> None:
    """A resync a minute is a day's worth of deadlines kept for each instance otherwise."""
    served = Deleting()
    for _ in range(50):
        seen = served.put("a", 100)
    assert len(served.expiry._heap) == 1
    await asyncio.sleep(200)
    assert served.cluster.count("DELETE") == 1
    served.expiry.observe(seen)
    await asyncio.sleep(100)
    assert served.cluster.count("DELETE") == 1
    served.task.cancel()


@virtual
async def test_only_the_very_object_that_was_seen_is_deleted() -> None:
    """It was renewed, or made anew by the same name, a moment ago."""
    served = Deleting()
    served.put("a", 100)
    body = served.cluster.read(INSTANCES, "a", "team")
    served.cluster.put(INSTANCES, body)
    await asyncio.sleep(200)
    assert served.left == ["a"]
    assert served.cluster.count("DELETE") == 1, "not tried again until the watch brings it"
    served.expiry.observe(
        ChallengeInstance.model_validate(served.cluster.read(INSTANCES, "a", "team"))
    )
    await asyncio.sleep(1)
    assert served.left == []
    served.task.cancel()


@virtual
async def test_an_api_server_that_is_away_is_asked_again_until_it_is_back() -> None:
    served = Deleting()
    served.put("a", 100)

    async def away(_method: str, _path: str) -> None:
        raise ApiUnavailable("away")

    served.cluster.before = away
    await asyncio.sleep(100 + 3 * RETRY.total_seconds() + 1)
    assert served.cluster.count("DELETE") == 4
    served.cluster.before = None
    await asyncio.sleep(RETRY.total_seconds() + 1)
    assert served.left == []
    served.task.cancel()


@virtual
async def test_a_renewal_that_its_agent_has_not_seen_yet_counts() -> None:
    served = Deleting()
    spec = {"ttl": "10m"}
    served.put("a", 100, spec=spec, generation=1)
    body = served.cluster.read(INSTANCES, "a", "team")
    body["metadata"]["generation"] = 2
    body["status"]["readyTime"] = rfc3339(NOON - timedelta(seconds=500))
    body["spec"]["renewTime"] = rfc3339(NOON + timedelta(seconds=50))
    served.expiry.observe(ChallengeInstance.model_validate(served.cluster.put(INSTANCES, body)))
    await asyncio.sleep(300)
    assert served.left == ["a"]
    served.task.cancel()
