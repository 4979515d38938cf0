"""Tokens in files: what a request bears after the file was written anew, and while it is not there.

A real HTTP server notes what it is sent; the credentials are loaded as a controller loads them.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from kubernetes.aio.config import incluster_config

from controller.cluster import client, watching
from controller.cluster.client import NODES, Cluster, ConfigurationError
from hack.bed.certificates import Authority
from tests.unit.cluster.serving import listening

Sent = list[str | None]
Connect = Callable[..., Awaitable[Cluster]]


@pytest.fixture
def sent() -> Sent:
    """The Authorization header of each request, in order."""
    return []


@pytest.fixture
async def address(sent: Sent) -> AsyncIterator[str]:
    """Where the server listens."""

    async def serve(request: web.Request) -> web.Response:
        sent.append(request.headers.get("Authorization"))
        return web.json_response({"kind": "Any"})

    async with listening(serve) as where:
        yield where


@pytest.fixture
async def connect(tmp_path: Path, address: str) -> AsyncIterator[Connect]:
    """``connect(tokenFile="token")``: a client with a kubeconfig whose user has these fields."""
    made: list[Cluster] = []

    async def connect(**user: str) -> Cluster:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": address}}],
            "users": [{"name": "other", "user": {"token": "wrong"}}, {"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        file = tmp_path / "kubeconfig"
        file.write_text(yaml.safe_dump(config))
        made.append(await Cluster.connect(file))
        return made[-1]

    yield connect
    for cluster in made:
        await cluster.close()


async def test_each_request_bears_the_token_that_its_file_has_then(
    tmp_path: Path, connect: Connect, sent: Sent
) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    cluster = await connect(tokenFile="token")
    await cluster.get(NODES, "a")
    token.write_text("second")
    await cluster.get(NODES, "a")
    await cluster.get(NODES, "a")
    # As a kubelet does it: a link that leads elsewhere from one moment to the next.
    for number in ("3", "4"):
        folder = tmp_path / number
        folder.mkdir()
        (folder / "token").write_text(f"token{number}")
        os.utime(folder / "token", ns=(1, 1))
        link = tmp_path / "link"
        link.symlink_to(folder / "token")
        link.replace(token)
        await cluster.get(NODES, "a")
    assert sent == ["Bearer first", "Bearer second", "Bearer second", "Bearer token3",
                    "Bearer token4"]  # fmt: skip


async def test_a_file_that_is_missing_or_empty_for_a_while_stops_nothing(
    tmp_path: Path, connect: Connect, sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    cluster = await connect(tokenFile=str(token))
    token.unlink()
    await cluster.get(NODES, "a")
    await cluster.get(NODES, "a")
    token.write_text("\n")
    await cluster.get(NODES, "a")
    token.write_text("second")
    await cluster.get(NODES, "a")
    assert sent == ["Bearer first"] * 3 + ["Bearer second"]
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 2
    assert told[1] == (
        f"Keeping the token that was in use: {token} is empty; expected a bearer token"
    )


async def test_the_watch_bears_the_token_of_that_time(
    tmp_path: Path, connect: Connect, sent: Sent
) -> None:
    (tmp_path / "token").write_text("first\n")
    cluster = await connect(tokenFile="token")
    async with watching.session(cluster, watching.Pace()) as http:
        (await http.get(cluster.configuration.host)).release()
        (tmp_path / "token").write_text("second\n")
        (await http.get(cluster.configuration.host)).release()
    assert sent == ["Bearer first", "Bearer second"]


async def test_a_token_in_the_kubeconfig_itself_goes_before_a_file(
    tmp_path: Path, connect: Connect, sent: Sent
) -> None:
    (tmp_path / "token").write_text("of the file")
    cluster = await connect(tokenFile="token", token="inline")
    await cluster.get(NODES, "a")
    assert sent == ["Bearer inline"]


async def test_the_users_file_may_be_the_second_of_several(
    tmp_path: Path, connect: Connect, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("first")
    await connect(tokenFile="token")
    other = tmp_path / "elsewhere" / "config"
    other.parent.mkdir()
    other.write_text("apiVersion: v1\nkind: Config\nusers: null\ncontexts: null\nclusters: null\n")
    monkeypatch.setenv("KUBECONFIG", f"{other}:{tmp_path / 'kubeconfig'}")
    cluster = await Cluster.connect()
    (tmp_path / "token").write_text("second")
    await cluster.get(NODES, "a")
    await cluster.close()
    assert sent == ["Bearer second"]


async def test_a_token_file_that_is_empty_from_the_start_is_named(
    tmp_path: Path, connect: Connect
) -> None:
    (tmp_path / "token").write_text("")
    with pytest.raises(ConfigurationError, match="token is empty; expected a bearer token"):
        await connect(tokenFile="token")


async def test_a_pods_token_is_read_anew_too(
    tmp_path: Path, address: str, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    authority = Authority(tmp_path).pair.certificate
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    monkeypatch.setattr(client, "SERVICE_ACCOUNT", token)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", address.rpartition(":")[2])
    monkeypatch.delenv("KUBECONFIG", raising=False)
    cluster = await Cluster.connect()
    cluster.configuration.host = address
    token.write_text("second")
    await cluster.get(NODES, "a")
    await cluster.close()
    assert sent == ["Bearer second"]
