"""A store that has gone back to an earlier state is told from a LIST that is merely behind."""

import asyncio

import pytest

from controller.cluster import operator
from controller.cluster.client import INSTANCES, Object
from controller.cluster.errors import ApiUnavailable
from controller.cluster.history import History
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.reconcile.virtual_time import virtual


def answer(version: str) -> Object:
    return {"metadata": {"resourceVersion": version}}


def test_a_list_older_than_one_that_was_complete_before_tells_of_it() -> None:
    history = History()
    for version, turns in (("7", 0), ("9", 0), ("9", 0), ("8", 1), ("8", 1), ("7", 2)):
        history.listed("a", answer(version), history.newest("a"))
        assert history.turns == turns
    history.listed("b", answer("1"), history.newest("b"))
    assert history.turns == 2, "kinds can be in stores of their own"


def test_a_list_that_was_overtaken_tells_nothing() -> None:
    history = History()
    before = history.newest("a")
    history.listed("a", answer("9"), history.newest("a"))
    history.listed("a", answer("8"), before)
    assert history.turns == 0


def test_an_object_older_than_it_was_seen_before_the_list_tells_of_it() -> None:
    history = History()
    assert not history.compare(answer("8"), 8)
    assert not history.compare(answer("9"), 8)
    assert not history.compare(answer(""), 8)
    assert history.compare(answer("7"), 8)
    assert history.turns == 1


@virtual
async def test_who_waits_for_it_is_told_once() -> None:
    history = History()
    waiting = [asyncio.create_task(history.turned(0)) for _ in range(2)]
    await asyncio.sleep(1)
    assert not any(task.done() for task in waiting)
    history.turn()
    assert await asyncio.gather(*waiting) == [1, 1]
    again = asyncio.create_task(history.turned(1))
    await asyncio.sleep(1)
    assert not again.done()
    history.turn()
    assert await again == 2


@virtual
async def test_the_pages_of_one_list_are_compared_once() -> None:
    cluster = FakeCluster()
    pages = [
        {"resourceVersion": "9"},
        {"resourceVersion": "5", "continue": "x"},
        {"resourceVersion": "5"},
    ]

    async def request(*_args: object, **_rest: object) -> Object:
        return {"metadata": pages.pop(0), "items": []}

    cluster.request = request  # type: ignore[method-assign]  # pages, which the fake has none of
    for _ in range(2):
        assert [body async for body in cluster.list(INSTANCES)] == []
    assert (pages, cluster.history.turns) == ([], 1)


KINDS = "/apis/challenge-controller.io/v1alpha1"


@virtual
async def test_a_watch_begins_when_all_definitions_are_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = FakeCluster()
    waiting = asyncio.create_task(operator._served("agent", cluster))
    await asyncio.sleep(60)
    assert not waiting.done()
    plurals = [kind.plural for kind in operator.KINDS]
    cluster.objects[KINDS] = {"resources": [{"name": name} for name in plurals[1:]]}
    await asyncio.sleep(60)
    assert not waiting.done()
    cluster.objects[KINDS]["resources"].append({"name": plurals[0]})
    await asyncio.sleep(operator.RESTART_DELAY)
    assert waiting.done()
    assert [r.message for r in caplog.records] == [
        "The API server does not serve challengeinstances, challengenodes, challengepools, "
        "challenges: the agent waits for the definitions (crds/)"
    ]


@virtual
async def test_a_watch_begins_when_the_api_server_is_there() -> None:
    """Kopf ends at an answer to its own question that is none."""
    cluster = FakeCluster()
    cluster.objects[KINDS] = {"resources": [{"name": kind.plural} for kind in operator.KINDS]}

    async def away(_method: str, _path: str) -> None:
        raise ApiUnavailable("away")

    cluster.before = away
    waiting = asyncio.create_task(operator._served("agent", cluster))
    await asyncio.sleep(60)
    assert not waiting.done()
    assert len(cluster.requests) <= 60 / operator.RESTART_DELAY + 1
    cluster.before = None
    await asyncio.sleep(operator.RESTART_DELAY)
    assert waiting.done()


@virtual
async def test_of_two_operators_the_one_that_ends_takes_its_own_tasks_along() -> None:
    """Kopf looks for what is served in tasks that outlive the one that waits for them."""

    async def scan(settings: object) -> None:
        await asyncio.Event().wait()

    settings = [operator.operator_settings({}) for _ in range(2)]
    mine, others = (asyncio.create_task(scan(each)) for each in settings)
    await asyncio.sleep(1)
    await operator._end_strays(settings[0])
    assert mine.cancelled()
    assert not others.done()
    others.cancel()
