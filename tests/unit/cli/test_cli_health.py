"""Alive and ready: what probes are told, also while the event loop stands still."""

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from controller import health, metrics
from controller.cluster.client import LEASES, Cluster
from controller.cluster.errors import ApiUnavailable
from controller.cluster.lease import Lease
from controller.health import Health
from controller.manager.readiness import lacks
from tests.unit.cli.test_cli_metrics import free
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.manager.objects import NAMESPACE


def ask(port: int, path: str) -> tuple[int, str]:
    """The status and text of an answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


@asynccontextmanager
async def served(well: Health) -> AsyncIterator[int]:
    """A process' health over HTTP; the port."""
    port = free()
    serving = asyncio.create_task(metrics.serve(metrics.registry(), well, "127.0.0.1", port))
    await asyncio.sleep(0)
    yield port
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def test_a_process_is_alive_from_the_start_and_ready_when_all_its_roles_are() -> None:
    well, agent, manager = Health(), ["the engine is away"], list[str]()
    async with served(well) as port:
        assert await asyncio.to_thread(ask, port, "/healthz") == (200, "ok\n")
        assert await asyncio.to_thread(ask, port, "/readyz") == (503, "no role has started yet\n")
        well.role("agent", lambda: agent)
        well.role("manager", lambda: manager)
        assert await asyncio.to_thread(ask, port, "/readyz") == (
            503,
            "agent: the engine is away\n",
        )
        manager.append("no Lease")
        agent.clear()
        assert await asyncio.to_thread(ask, port, "/readyz") == (503, "manager: no Lease\n")
        manager.clear()
        assert await asyncio.to_thread(ask, port, "/readyz") == (200, "ok\n")
        status, text = await asyncio.to_thread(ask, port, "/health")
        assert (status, text) == (404, "expected one of /metrics, /healthz, /readyz\n")


async def test_a_loop_that_stands_still_is_told_and_one_that_turns_again_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "STUCK", 1.0)
    monkeypatch.setattr(health, "PERIOD", 0.05)
    well = Health()
    well.role("agent", list)
    turning = asyncio.create_task(well.keep())
    async with served(well) as port:
        assert await asyncio.to_thread(ask, port, "/healthz") == (200, "ok\n")
        with ThreadPoolExecutor(1) as pool:
            # The loop stands still until it has answered: this is what must be noticed.
            for status, text in pool.submit(late, port).result():
                assert status == 503
                assert text.startswith("event loop: has not turned for ")
        async with asyncio.timeout(30):
            while await asyncio.to_thread(ask, port, "/healthz") != (200, "ok\n"):
                pass
    turning.cancel()


def late(port: int) -> list[tuple[int, str]]:
    """What is answered in the middle of a standstill, when it has lasted for too long."""
    time.sleep(1.5)
    return [ask(port, path) for path in ("/healthz", "/readyz")]


async def test_a_part_that_has_ended_is_named() -> None:
    well = Health()
    ended, lives = (asyncio.create_task(asyncio.sleep(seconds)) for seconds in (0, 60))
    well.part("agent", ended)
    well.part("manager", lives)
    await ended
    assert well.ailments() == ["agent: has ended"]
    lives.cancel()


async def test_a_client_that_says_nothing_or_goes_away_keeps_nobody_and_is_not_logged(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert metrics._Quiet.timeout == metrics.PATIENCE
    monkeypatch.setattr(metrics._Quiet, "timeout", 1.0)
    async with served(Health()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()
        assert (await asyncio.to_thread(ask, port, "/healthz"))[0] == 200
    assert capfd.readouterr().err == ""


def holding(cluster: Cluster, duration: int = 15) -> Lease:
    return Lease(cluster, NAMESPACE, "challenge-manager", identity="me", duration=duration)


async def test_a_manager_is_ready_when_it_acts_or_stands_by_and_the_api_server_answers() -> None:
    cluster = FakeCluster()
    lease, standby = holding(cluster), holding(cluster)
    standby._identity = "other"
    assert lacks(cluster, lease) == ["the API server has not answered yet"]
    cluster.answered_at = time.monotonic()
    assert lacks(cluster, lease) == ["the Lease challenge-manager has not been read yet"]
    await lease.take()
    assert await standby.take() == "me"
    assert lacks(cluster, lease) == lacks(cluster, standby) == []
    cluster.answered_at = time.monotonic() - 16
    assert lacks(cluster, lease) == ["the API server has not answered for 16 s"]


async def test_an_outage_does_not_make_a_lease_that_was_read_unknown() -> None:
    cluster = FakeCluster()
    lease = holding(cluster)
    await lease.take()

    async def away(method: str, path: str) -> None:
        raise ApiUnavailable("away")

    cluster.before = away
    with pytest.raises(ApiUnavailable):
        await lease.take()
    assert lease.holder == "me"
    assert cluster.count("GET", LEASES.plural) == 2
