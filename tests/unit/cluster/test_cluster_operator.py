"""An operator that is stopped, as a manager's is that loses its Lease: nothing of it goes on."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import kopf
import pytest
from aiohttp import web

from controller.api.meta import GROUP, VERSION
from controller.cluster import operator
from controller.cluster.client import INSTANCES, Cluster
from tests.unit.cluster.serving import cluster_of

OURS = f"/apis/{GROUP}/{VERSION}"
KINDS = [
    {"name": kind.plural, "kind": kind.plural, "singularName": "", "namespaced": True, "verbs": []}
    for kind in operator.KINDS
]
ANSWERS: dict[str, Any] = {
    OURS: {"kind": "APIResourceList", "metadata": {}, "resources": KINDS},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "groups": [
            {
                "name": GROUP,
                "versions": [{"version": VERSION}],
                "preferredVersion": {"version": VERSION},
            }
        ],
    },
}

NONE: dict[str, Any] = {"kind": "APIResourceList", "metadata": {}, "resources": []}


class Server:
    """An API server that leaves one path unanswered, from the so many-th request on."""

    def __init__(self) -> None:
        self.mute: str = ""
        self.answered = 0
        self.asked = asyncio.Event()

    async def serve(self, request: web.Request) -> web.Response:
        """Answer, or not."""
        if request.path == self.mute:
            if not self.answered:
                self.asked.set()
                await asyncio.Event().wait()
            self.answered -= 1
        return web.json_response(ANSWERS.get(request.path, NONE))


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def cluster(server: Server) -> AsyncIterator[Cluster]:
    async with cluster_of(server.serve, patience=0.01) as made:
        yield made


async def serve(cluster: Cluster) -> None:
    """An operator that watches instances."""
    registry = kopf.OperatorRegistry()
    kopf.on.event(INSTANCES.group, INSTANCES.version, INSTANCES.plural, registry=registry)(
        lambda **_: None
    )
    await operator.serve("test", cluster, registry)


@pytest.mark.parametrize(("mute", "answered"), [("/api", 0), ("/apis", 0), (OURS, 1)])
async def test_an_operator_that_is_stopped_in_its_first_look_leaves_no_task_behind(
    server: Server,
    cluster: Cluster,
    caplog: pytest.LogCaptureFixture,
    mute: str,
    answered: int,
) -> None:
    server.mute, server.answered = mute, answered
    serving = asyncio.create_task(serve(cluster))
    async with asyncio.timeout(30):
        await server.asked.wait()
        serving.cancel()
        await asyncio.wait({serving})
    left = [task for task in asyncio.all_tasks() if "/kopf/" in repr(task)]
    await asyncio.sleep(0.05)
    gc.collect()
    assert not left
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_an_operator_begins_anew_when_the_store_has_gone_back(
    server: Server, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "RESTART_DELAY", 0.01)
    server.mute, server.answered = OURS, 1
    serving = asyncio.create_task(serve(cluster))
    async with asyncio.timeout(30):
        await server.asked.wait()
        server.asked.clear()
        server.answered = 1
        cluster.history.turn()
        await asyncio.wait(
            [serving, asyncio.ensure_future(server.asked.wait())],
            return_when=asyncio.FIRST_COMPLETED,
        )
    assert server.asked.is_set()
    serving.cancel()
    await asyncio.wait({serving})
