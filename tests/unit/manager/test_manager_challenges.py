"""Challenges come from the watch; what is not there is asked for once."""

from controller.cluster.client import CHALLENGES, Object
from controller.manager.challenges import Challenges
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.manager.objects import template


def challenge(cluster: FakeCluster, name: str = "web", ports: int = 1) -> Object:
    meta = {"name": name, "namespace": "team"}
    return cluster.put(CHALLENGES, {"metadata": meta, "spec": {"template": template(ports)}})


async def ports(challenges: Challenges, name: str = "web") -> int | None:
    found = await challenges.find("team", name)
    return len(found.spec.template.containers[0].ports) if found else None


async def test_what_the_watch_brought_needs_no_request() -> None:
    cluster = FakeCluster()
    challenges = Challenges(cluster)
    older = challenge(cluster, ports=1)
    challenges.observe(challenge(cluster, ports=2), deleted=False)
    challenges.observe(older, deleted=False)  # a list that is behind the watch
    assert await ports(challenges) == 2
    assert await ports(challenges) == 2
    assert cluster.requests == []


async def test_one_that_is_gone_is_not_found() -> None:
    cluster = FakeCluster()
    challenges = Challenges(cluster)
    body = challenge(cluster)
    challenges.observe(body, deleted=False)
    cluster.objects.clear()
    challenges.observe(body, deleted=True)
    assert await ports(challenges) is None


async def test_one_that_is_missing_is_asked_for_once_until_a_challenge_changes() -> None:
    cluster = FakeCluster()
    challenges = Challenges(cluster)
    assert [await ports(challenges), await ports(challenges)] == [None, None]
    assert cluster.count("GET") == 1
    challenges.observe(challenge(cluster, "other"), deleted=False)
    assert await ports(challenges) is None
    assert cluster.count("GET") == 2


async def test_what_was_asked_for_is_not_kept() -> None:
    """Its deletion may have been seen before the answer, and would never be again."""
    cluster = FakeCluster()
    challenges = Challenges(cluster)
    challenge(cluster)
    assert await ports(challenges) == 1
    cluster.objects.clear()
    assert await ports(challenges) is None


async def test_a_list_makes_good_what_the_watch_lost() -> None:
    cluster = FakeCluster()
    challenges = Challenges(cluster)
    challenges.observe(challenge(cluster, "gone"), deleted=False)
    assert await ports(challenges, "web") is None
    cluster.objects.clear()
    challenge(cluster, "web", ports=3)
    before = challenges.generation
    await challenges.load()
    assert await ports(challenges, "web") == 3
    assert await ports(challenges, "gone") is None
    assert challenges.generation > before


async def test_one_that_comes_while_all_are_listed_needs_no_request_later() -> None:
    cluster = FakeCluster()
    challenges = Challenges(cluster)

    async def come(_method: str, _path: str) -> None:
        challenges.observe(challenge(FakeCluster()), deleted=False)

    cluster.after = come
    await challenges.load()
    cluster.requests.clear()
    assert await ports(challenges) == 1
    assert cluster.requests == []
