"""Metrics are served where they are asked for, and a port that cannot be had is named."""

import asyncio
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from controller import metrics
from controller.health import Health
from controller.manager.metrics import ManagerMetrics
from controller.settings import SettingsError, load


@contextmanager
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield held.getsockname()[1]


def free() -> int:
    with taken() as port:
        return port


def read(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return str(answer.read().decode())


async def test_what_is_measured_can_be_read_until_the_process_stops() -> None:
    registry, port = metrics.registry(), free()
    manager = ManagerMetrics(registry)
    manager.acting(lambda: 3)
    serving = asyncio.create_task(metrics.serve(registry, Health(), "127.0.0.1", port))
    await asyncio.sleep(0)
    shown = await asyncio.to_thread(read, port)
    assert "challenge_instances_pending 3.0" in shown
    assert "process_cpu_seconds_total" in shown
    manager.idle()
    shown = await asyncio.to_thread(read, port)
    assert "challenge_instances_pending 0.0" in shown
    assert "challenge_manager_acting 0.0" in shown
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


async def test_a_port_that_is_taken_is_named_with_what_to_do() -> None:
    with taken() as port, pytest.raises(metrics.CannotServe) as caught:
        await metrics.serve(metrics.registry(), Health(), "127.0.0.1", port)
    message = str(caught.value)
    assert message.startswith(f"CHALLENGE_METRICS_PORT={port}: cannot serve metrics on 127.0.0.1")
    assert "address already in use" in message
    assert "0 to serve none" in message


async def test_an_address_of_another_host_is_named() -> None:
    with pytest.raises(metrics.CannotServe, match=r"192\.0\.2\.1"):
        await metrics.serve(metrics.registry(), Health(), "192.0.2.1", free())


def test_none_are_served_unless_asked_for_and_nonsense_is_refused() -> None:
    assert load({}).metrics_port == 0
    assert load({}).metrics_address == "127.0.0.1"
    for wrong, words in (
        ({"metrics_port": "70000"}, "CHALLENGE_METRICS_PORT"),
        ({"metrics_address": "everywhere"}, "CHALLENGE_METRICS_ADDRESS='everywhere': expected"),
    ):
        with pytest.raises(SettingsError, match=words):
            load(wrong)
