"""Which events of the watch wake an instance, and which are only the echo of its own writes."""

import asyncio
from random import Random
from typing import Any

import pytest

from controller.agent.watched import ECHO, Watched
from controller.cluster.client import Object
from controller.reconcile.hold import Hold
from controller.reconcile.queue import Backoff, Key, WorkQueue
from controller.reconcile.recent import Recent
from tests.unit.reconcile.virtual_time import settle, virtual
from tests.unit.reconcile.world import SetClock

KEY = Key("uid", "team", "web")


class Services:
    """What of the services the watch touches."""

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}
        self.hold = Hold(600, SetClock(), lambda _: None)
        self.recent = Recent(lambda: asyncio.get_running_loop().time())


class Scene:
    """A watch, and a reconcile that writes a version after a while."""

    def __init__(self, takes: float = 0.0, writes: str = "") -> None:
        self.services = Services()
        self.looks = 0
        self.takes, self.writes = takes, writes
        self.queue = WorkQueue(self.look, Backoff(1, 1, Random()))
        handed: Any = self.services
        self.watched = Watched(handed, self.queue)

    async def look(self, _: Key) -> None:
        self.looks += 1
        await asyncio.sleep(self.takes)
        if self.writes:
            self.services.seen[KEY.uid] = self.writes

    def tell(self, version: str, *, deleted: bool = False) -> Object:
        read = {"metadata": {"uid": KEY.uid, "resourceVersion": version}}
        self.watched.changed(KEY, read, deleted)
        return read


@virtual
async def test_a_change_wakes_and_can_be_gone_on_from() -> None:
    scene = Scene()
    read = scene.tell("1")
    await settle()
    assert (scene.looks, scene.services.recent.get(KEY.uid)) == (1, read)


@virtual
async def test_the_echo_of_an_own_write_wakes_nobody() -> None:
    scene = Scene()
    scene.services.seen[KEY.uid] = "2"
    scene.tell("2")
    await settle()
    assert scene.looks == 0


@virtual
async def test_an_echo_that_comes_before_the_answer_wakes_nobody() -> None:
    scene = Scene(takes=ECHO / 2, writes="2")
    scene.queue.wake(KEY)
    await settle()
    scene.tell("2")
    await asyncio.sleep(3 * ECHO)
    assert scene.looks == 1


@pytest.mark.parametrize("takes", [ECHO / 2, 2 * ECHO])
@virtual
async def test_somebody_elses_change_during_a_reconcile_wakes_soon_after(takes: float) -> None:
    scene = Scene(takes=takes, writes="2")
    scene.services.recent.note({"metadata": {"uid": KEY.uid, "resourceVersion": "1"}})
    scene.queue.wake(KEY)
    await settle()
    scene.tell("3")
    await asyncio.sleep(takes + 2 * ECHO)
    assert scene.looks == 2
    assert scene.services.recent.get(KEY.uid) is None, "the write may be the younger one"


@virtual
async def test_one_that_left_the_selector_is_looked_at_and_not_gone_on_from() -> None:
    """It comes as a deletion, with its old body."""
    scene = Scene()
    scene.services.seen[KEY.uid] = "1"
    scene.services.recent.note({"metadata": {"uid": KEY.uid, "resourceVersion": "1"}})
    scene.tell("1", deleted=True)
    await settle()
    assert (scene.looks, scene.services.recent.get(KEY.uid)) == (1, None)


@pytest.mark.parametrize("deleted", [True, False])
@virtual
async def test_a_deletion_that_was_seen_is_no_surprise_later(deleted: bool) -> None:
    scene = Scene()
    meta = {"uid": KEY.uid, "resourceVersion": "2", "deletionTimestamp": "2026-01-31T12:00:00Z"}
    scene.tell("1", deleted=True)
    assert not scene.services.hold.is_deleting(KEY.uid), "it may just have left the selector"
    scene.watched.changed(KEY, {"metadata": meta}, deleted)
    assert scene.services.hold.is_deleting(KEY.uid)
