"""What kopf watches through: tokens that change, and requests that come in quick succession."""

import asyncio
import gc
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from controller.cluster import watching
from controller.cluster.client import Cluster
from controller.cluster.watching import PAUSES, QUIET, NoAnswer, Pace, session
from tests.unit.cluster.serving import cluster_of


class Server:
    """Accepts one token, and notes what it was sent."""

    def __init__(self) -> None:
        self.accepted = "Bearer first"
        self.sent: list[str | None] = []
        self.refused = asyncio.Event()
        self.text: str | None = None
        self.is_cut = False

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer 401 to all others; ``text`` if there is one, once nothing holds it back."""
        self.sent.append(request.headers.get("Authorization"))
        if self.text is not None:
            return (
                await self._cut(request, self.text) if self.is_cut else web.Response(text=self.text)
            )
        if self.sent[-1] == self.accepted:
            return web.json_response({"kind": "Any"})
        self.refused.set()
        return web.json_response({}, status=401)

    async def _cut(self, request: web.Request, text: str) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(text.encode())
        assert request.transport is not None
        request.transport.close()
        return response


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def cluster(server: Server) -> AsyncIterator[Cluster]:
    async with cluster_of(server.serve, token="first") as made:
        yield made


async def test_a_token_that_has_ended_is_waited_out_until_another_is_there(
    server: Server, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kopf would end at a 401, and ask no more for what has happened since."""
    monkeypatch.setattr(watching, "RETRY", 0.001)
    async with session(cluster, Pace()) as http:
        server.accepted = "Bearer second"
        asked = asyncio.create_task(http.get(cluster.configuration.host + "/x"))
        await server.refused.wait()
        cluster.configuration.api_key["BearerToken"] = "Bearer second"
        async with asyncio.timeout(30), await asked as answer:
            assert answer.status == 200
    assert server.sent[0] == "Bearer first"
    assert server.sent[-1] == "Bearer second"


async def test_each_request_bears_the_token_of_that_time(server: Server, cluster: Cluster) -> None:
    async with session(cluster, Pace()) as http:
        (await http.get(cluster.configuration.host + "/x")).release()
        cluster.configuration.api_key["BearerToken"] = server.accepted = "Bearer second"
        (await http.get(cluster.configuration.host + "/y")).release()
    assert server.sent == ["Bearer first", "Bearer second"]


def test_a_watch_that_is_cut_at_once_each_time_is_begun_more_and_more_rarely() -> None:
    clock = [100.0]
    pace = Pace(lambda: clock[0])
    waits = []
    for _ in range(8):
        waits.append(round(pace.due("/x", watch=True), 3))
        clock[0] += waits[-1]
    assert waits == [*PAUSES, PAUSES[-1], PAUSES[-1]]


def test_who_begins_a_watch_anew_after_a_while_waits_for_nothing() -> None:
    clock = [100.0]
    pace = Pace(lambda: clock[0])
    for _ in range(4):
        clock[0] += pace.due("/x", watch=True)
    clock[0] += QUIET
    assert pace.due("/x", watch=True) == 0.0


def test_lists_and_watches_of_all_kinds_have_a_pace_each() -> None:
    pace = Pace(lambda: 100.0)
    asked = [("/x", True), ("/x", False), ("/y", True)]
    assert [pace.due(path, watch=watch) for path, watch in asked] == [0.0] * 3


async def test_the_pages_of_one_list_do_not_wait_for_each_other(
    server: Server, cluster: Cluster
) -> None:
    pace = Pace(lambda: 100.0)
    async with session(cluster, pace) as http:
        for page in range(4):
            query = f"?continue={page}" if page else ""
            (await http.get(f"{cluster.configuration.host}/x{query}")).release()
    assert pace.due("/x", watch=False) == pytest.approx(PAUSES[1])


@pytest.mark.parametrize("is_cut", [False, True])
@pytest.mark.parametrize(
    "text", ["", '{"kind": "List", "ite', "[]", '{"hello": "hotel"}', "<html>"]
)
async def test_an_answer_that_is_cut_or_none_of_an_api_server_counts_as_no_connection(
    server: Server, cluster: Cluster, text: str, is_cut: bool
) -> None:
    """For want of that kopf asks again; at anything else it would end."""
    assert issubclass(NoAnswer, aiohttp.ClientConnectionError)
    server.text, server.is_cut = text, is_cut
    async with session(cluster, Pace()) as http:
        with pytest.raises(NoAnswer):
            await http.get(cluster.configuration.host + "/x")
        async with http.get(cluster.configuration.host + "/x?watch=true") as watch:
            assert watch.status == 200, "a watch is read as it comes"


async def test_of_who_failed_asking_asyncio_says_nothing(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    async with session(cluster, Pace()) as http:
        asking = asyncio.create_task(http.get("http://127.0.0.1:1/x"))
        await asyncio.wait([asking])
        del asking
        gc.collect()
    assert caplog.records == []
