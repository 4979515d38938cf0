"""The API client against a local HTTP server: what is sent, and what each answer turns into."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio import client as kubernetes_client

from controller.cluster.client import (
    INSTANCES,
    LEASES,
    NODES,
    SECRETS,
    Cluster,
    ConfigurationError,
    Kind,
)
from controller.cluster.errors import (
    ApiError,
    ApiUnavailable,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    TooLarge,
    Unauthorized,
    from_status,
)
from tests.unit.cluster.serving import listening

REFUSALS = {
    400: ApiError,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: ApiError,
    413: TooLarge,
    422: Invalid,
    429: ApiUnavailable,
    500: ApiUnavailable,
    503: ApiUnavailable,
}


@dataclass
class Server:
    """Answers as a test says and notes what it was asked."""

    cluster: Cluster
    requests: list[dict[str, Any]] = field(default_factory=list)
    answer: Callable[[], web.StreamResponse] = lambda: web.json_response({"kind": "Any"})
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    held: asyncio.Event | None = None

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Note the request; answer, once nothing holds it back."""
        text = await request.text()
        self.requests.append(
            {
                "method": request.method,
                "path": request.path,
                "query": dict(request.query),
                "type": request.headers.get("Content-Type"),
                "token": request.headers.get("Authorization"),
                "body": json.loads(text) if text else None,
            }
        )
        self.asked.set()
        if self.held:
            await self.held.wait()
        return self.answer()

    def says(self, status: int, body: Any = None, **headers: str) -> None:
        """Answer like this from now on."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer = lambda: web.json_response(
            body or {"kind": "Any"}, status=status, headers=named
        )


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    configuration = kubernetes_client.Configuration()
    configuration.api_key = {"BearerToken": "Bearer t0ken"}
    made = Server(Cluster(kubernetes_client.ApiClient(configuration)))
    async with listening(made.serve) as configuration.host:
        yield made
        await made.cluster.close()


@pytest.mark.parametrize(
    ("kind", "arguments", "path"),
    [
        (INSTANCES, ("a", "team"), "/apis/challenge-controller.io/v1alpha1/namespaces/team/"
         "challengeinstances/a"),
        (INSTANCES, ("", ""), "/apis/challenge-controller.io/v1alpha1/challengeinstances"),
        (NODES, ("n1", "ignored"), "/apis/challenge-controller.io/v1alpha1/challengenodes/n1"),
        (SECRETS, ("s", "team"), "/api/v1/namespaces/team/secrets/s"),
        (INSTANCES, ("a", "team", "status"), "/apis/challenge-controller.io/v1alpha1/namespaces/"
         "team/challengeinstances/a/status"),
    ],
)  # fmt: skip
def test_paths_are_the_api_servers(kind: Kind, arguments: tuple[str, ...], path: str) -> None:
    assert kind.path(*arguments) == path


async def test_an_object_is_read_with_the_credentials(server: Server) -> None:
    lease = {"kind": "Lease", "metadata": {"name": "a"}}
    server.says(200, lease)
    assert await server.cluster.get(LEASES, "a", "team") == lease
    (sent,) = server.requests
    assert sent["method"] == "GET"
    assert sent["path"] == "/apis/coordination.k8s.io/v1/namespaces/team/leases/a"
    assert sent["token"] == "Bearer t0ken"


async def test_a_list_is_read_page_by_page(server: Server) -> None:
    pages: list[dict[str, Any]] = [
        {"items": [{"n": 1}, {"n": 2}], "metadata": {"continue": "more"}},
        {"items": None, "metadata": {"continue": "and more"}},
        {"items": [{"n": 3}], "metadata": {}},
    ]
    server.answer = lambda: web.json_response({"kind": "ChallengeInstanceList", **pages.pop(0)})
    found = [o async for o in server.cluster.list(INSTANCES, field_selector="status.nodeName=n1")]
    assert [o["n"] for o in found] == [1, 2, 3]
    assert [r["query"].get("continue") for r in server.requests] == [None, "more", "and more"]
    assert {r["query"]["fieldSelector"] for r in server.requests} == {"status.nodeName=n1"}


async def test_writes_are_of_the_kind_that_the_server_expects(server: Server) -> None:
    cluster, body = server.cluster, {"metadata": {"name": "a", "namespace": "team"}}
    await cluster.create(INSTANCES, body, "team")
    await cluster.replace(INSTANCES, body, subresource="status")
    await cluster.merge(INSTANCES, "a", {"metadata": {"finalizers": []}}, "team")
    await cluster.apply(INSTANCES, "a", body, "team", manager="us")
    await cluster.delete(INSTANCES, "a", "team", uid="u", version="7")
    await cluster.delete(INSTANCES, "a", "team")
    sent = server.requests
    assert [(r["method"], r["path"].rpartition("/")[2]) for r in sent] == [
        ("POST", "challengeinstances"),
        ("PUT", "status"),
        ("PATCH", "a"),
        ("PATCH", "a"),
        ("DELETE", "a"),
        ("DELETE", "a"),
    ]
    assert sent[0]["body"]["kind"] == "ChallengeInstance"
    assert sent[2]["type"] == "application/merge-patch+json"
    assert sent[3]["type"] == "application/apply-patch+yaml"
    assert sent[3]["query"] == {"fieldManager": "us", "force": "true"}
    assert sent[3]["body"]["apiVersion"] == "challenge-controller.io/v1alpha1"
    assert sent[4]["body"]["preconditions"] == {"uid": "u", "resourceVersion": "7"}
    assert sent[5]["body"]["preconditions"] == {}


async def test_a_refusal_keeps_the_servers_own_words(server: Server) -> None:
    body = {"message": "because", "reason": "Why", "details": {"name": "a"}}
    for status, kind in REFUSALS.items():
        server.says(status, body, Retry_After="0")
        with pytest.raises(ApiError, match="because") as caught:
            await server.cluster.get(INSTANCES, "a", "team")
        error = caught.value
        assert type(error) is kind, status
        assert error.status == status
        if isinstance(error, ApiUnavailable):
            assert error.retry_after == 0.0
        else:
            assert (error.reason, error.names("a"), error.names("b")) == ("Why", True, False)


@pytest.mark.parametrize(
    "message",
    [
        "etcdserver: request is too large",
        "rpc error: code = ResourceExhausted desc = trying to send message larger than max "
        "(2792117 vs. 2097152)",
    ],
)
def test_an_object_that_no_time_makes_fit_is_no_server_that_is_away(message: str) -> None:
    assert type(from_status(500, {"message": message}, None)) is TooLarge
    assert type(from_status(500, {"message": "etcdserver: timed out"}, None)) is ApiUnavailable


async def test_a_404_that_is_no_status_names_nothing(server: Server) -> None:
    """A proxy's page, or a path that is not served: no proof that an object is gone."""
    server.answer = lambda: web.Response(status=404, text="404 page not found\n")
    with pytest.raises(NotFound, match="404 page not found") as caught:
        await server.cluster.get(INSTANCES, "a", "team")
    assert not caught.value.names("a")


async def test_an_answer_that_is_no_object_is_no_crash(server: Server) -> None:
    for text in ("", "null", "[1]", "<html>"):
        server.answer = partial(web.Response, status=502, text=text)
        with pytest.raises(ApiUnavailable):
            await server.cluster.get(INSTANCES, "a", "team")


async def test_what_an_api_server_serves_is_an_answer_though_it_has_no_metadata(
    server: Server,
) -> None:
    served = {"kind": "APIResourceList", "resources": []}
    server.says(200, served)
    assert await server.cluster.request("GET", "/apis/x/v1") == served


@pytest.mark.parametrize("text", ["", "null", "[1]", "{}", '{"data": {"flag": "c2Vjcm', "<html>"])
async def test_half_an_answer_is_none_and_is_not_quoted(server: Server, text: str) -> None:
    """A Secret may be in it."""
    server.answer = lambda: web.Response(text=text)
    with pytest.raises(ApiUnavailable, match="no answer of an API server: expected") as caught:
        await server.cluster.get(SECRETS, "s", "team")
    assert "c2Vjcm" not in str(caught.value)


async def test_what_is_no_list_is_not_an_empty_one(server: Server) -> None:
    """All instances would count as gone."""
    server.says(200, {"kind": "Greeting", "hello": "I am the captive portal of this hotel"})
    with pytest.raises(ApiUnavailable, match="expected a list of challengeinstances"):
        [o async for o in server.cluster.list(INSTANCES)]


async def test_a_proxys_page_is_told_in_a_line(server: Server) -> None:
    page = "<html>\r\n<body>nginx</body>\r\n</html>\r\n"
    for text, told in ((page, "Bad Gateway"), ("no\nupstream\n", "no upstream")):
        server.answer = partial(web.Response, status=502, text=text)
        with pytest.raises(ApiUnavailable) as caught:
            await server.cluster.get(INSTANCES, "a", "team")
        assert str(caught.value) == told


async def test_a_server_that_asks_for_a_pause_is_given_it(server: Server) -> None:
    server.says(429, {"message": "too many"}, Retry_After="50")
    for _ in range(3):
        with pytest.raises(ApiUnavailable) as caught:
            await server.cluster.get(INSTANCES, "a", "team")
        assert caught.value.retry_after == pytest.approx(50.0, abs=20.0)
    assert len(server.requests) == 1
    server.says(200)
    await server.cluster.get(LEASES, "node-1", "system")


async def test_no_answer_in_time_is_unavailable(server: Server) -> None:
    server.held = asyncio.Event()
    with pytest.raises(ApiUnavailable, match="does not answer"):
        await server.cluster.request("GET", "/slow", timeout=0.05)
    server.held.set()


async def test_a_connection_cut_off_half_way_is_unavailable(server: Server) -> None:
    def half() -> web.StreamResponse:
        response = web.Response(body=b"{}")
        response.content_length = 1000
        return response

    server.answer = half
    with pytest.raises(ApiUnavailable):
        await server.cluster.request("GET", "/cut", timeout=30.0)


async def test_nobody_listening_is_unavailable() -> None:
    configuration = kubernetes_client.Configuration()
    configuration.host = "http://127.0.0.1:1"
    cluster = Cluster(kubernetes_client.ApiClient(configuration))
    with pytest.raises(ApiUnavailable, match="does not answer"):
        await cluster.identity()
    await cluster.close()


async def test_a_cancelled_request_is_cancelled_and_not_unavailable(server: Server) -> None:
    server.held = asyncio.Event()
    task = asyncio.create_task(server.cluster.get(INSTANCES, "a", "team"))
    await server.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.held.set()


async def test_a_cluster_is_known_by_its_kube_systems_uid(server: Server) -> None:
    server.says(200, {"kind": "Namespace", "metadata": {"uid": "cluster-uid"}})
    assert await server.cluster.identity() == "cluster-uid"
    assert server.requests[0]["path"] == "/api/v1/namespaces/kube-system"


@pytest.mark.parametrize("content", [None, "", "{", "text", "[]", "clusters: 3", "clusters: []"])
async def test_unusable_credentials_are_named_by_their_file(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "config"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError, match=str(file)):
        await Cluster.connect(file)


def test_a_refusal_without_words_still_says_something() -> None:
    for status in (400, 404, 500):
        assert str(from_status(status, {}, None)) == f"HTTP {status}"


async def test_a_server_that_answers_no_connection_is_given_up_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where packets vanish the kernel's own tries become rarer and rarer."""
    monkeypatch.setattr("controller.cluster.client.CONNECT_TIMEOUT", 0.2)
    with socket.socket() as deaf, contextlib.ExitStack() as stack:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(4):  # its queue is full then, and the kernel drops whoever knocks
            knocking = stack.enter_context(socket.socket())
            knocking.setblocking(False)
            knocking.connect_ex(deaf.getsockname())
        configuration = kubernetes_client.Configuration()
        configuration.host = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        cluster = Cluster(kubernetes_client.ApiClient(configuration))
        try:
            async with asyncio.timeout(30):
                with pytest.raises(ApiUnavailable, match="does not answer"):
                    await cluster.get(NODES, "n1")
        finally:
            await cluster.close()
