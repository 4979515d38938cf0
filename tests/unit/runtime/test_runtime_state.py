"""The engine's two shapes of a container and its events are read into one."""

from typing import Any

import pytest

from controller.runtime.containers import PortBinding
from controller.runtime.events import Event, parse
from controller.runtime.labels import Owner
from controller.runtime.state import inspected, listed, milliseconds

OWNER = Owner("main", "n1", "uid-1", "team-a", "web", "hash-1")


def _inspection(**state: Any) -> dict[str, Any]:
    return {
        "Id": "abc",
        "Name": "/chal-uid-1-web",
        "Image": "sha256:1",
        "Config": {"Labels": OWNER.labels("web")},
        "HostConfig": {
            "NetworkMode": "net-1",
            "PortBindings": {
                "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "10000"}],
                "53/udp": None,
            },
        },
        "NetworkSettings": {"Networks": {"net-1": {"IPAddress": ""}}},
        "State": {
            "Status": "exited",
            "ExitCode": 137,
            "OOMKilled": True,
            "Error": "",
            "StartedAt": "2026-11-23T18:00:00.123456789Z",
            "FinishedAt": "2026-11-23T18:00:01Z",
        }
        | state,
    }


def test_an_ended_container() -> None:
    state = inspected(_inspection())
    assert (state.id, state.name, state.container) == ("abc", "chal-uid-1-web", "web")
    assert (state.uid, state.template_hash, state.network) == ("uid-1", "hash-1", "net-1")
    assert (state.exit_code, state.oom_killed) == (137, True)
    assert state.addresses == {}
    assert state.bindings == (PortBinding(80, "tcp", 10000, "0.0.0.0"),)
    assert state.started_at is not None
    assert state.finished_at is not None
    assert state.finished_at - state.started_at == 877
    assert not state.running


def test_a_running_container_has_no_exit_code() -> None:
    state = inspected(_inspection(Status="running", ExitCode=0, FinishedAt="0001-01-01T00:00:00Z"))
    assert state.exit_code is None
    assert state.finished_at is None
    assert state.running


def test_an_item_of_a_list_with_each_port_once() -> None:
    port = {"PrivatePort": 80, "PublicPort": 10000, "Type": "tcp", "IP": "0.0.0.0"}
    state = listed(
        {
            "Id": "abc",
            "Names": ["/chal-uid-1-web"],
            "ImageID": "sha256:1",
            "Labels": OWNER.labels("web"),
            "State": "running",
            "HostConfig": {"NetworkMode": "net-1"},
            "NetworkSettings": {"Networks": {"net-1": {"IPAddress": "10.0.0.2"}}},
            "Ports": [port, port, {"PrivatePort": 99, "Type": "tcp"}],
        }
    )
    assert state.bindings == (PortBinding(80, "tcp", 10000, "0.0.0.0"),)
    assert state.addresses == {"net-1": "10.0.0.2"}
    assert (state.name, state.container, state.network) == ("chal-uid-1-web", "web", "net-1")
    assert state.exit_code is None


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("1970-01-01T00:00:01.5Z", 1500),
        ("1970-01-01T01:00:00.000999999+01:00", 0),
        ("1970-01-01T00:00:00.001999999Z", 1),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
    ],
)
def test_moments_are_milliseconds(moment: str, expected: int | None) -> None:
    assert milliseconds(moment) == expected


def _event(kind: str, name: str, **told: str) -> dict[str, Any]:
    return {
        "Type": kind,
        "Action": "die",
        "Actor": {"Attributes": {"name": name} | told},
        "timeNano": 1_500_000_000,
    }


def test_an_event_of_our_container() -> None:
    raw = _event("container", "chal-uid-1-web", **OWNER.labels("web"))
    assert parse(raw, "main") == Event("container", "die", "chal-uid-1-web", "uid-1", "web", 1500)


@pytest.mark.parametrize(
    "raw",
    [
        _event("container", "chal-uid-1-web", **OWNER.labels("web"))
        | {"Type": "volume", "Actor": {}},
        _event("container", "redis"),
        _event("network", "bridge"),
    ],
)
def test_an_event_that_is_none_of_ours(raw: dict[str, Any]) -> None:
    assert parse(raw, "another") is None
    assert parse(raw, "main") is None


def test_a_network_is_known_by_its_name() -> None:
    event = parse(_event("network", "chal-uid-1"), "main")
    assert event is not None
    assert (event.type, event.uid) == ("network", None)


@pytest.mark.parametrize(
    ("status", "addresses", "cut_off"),
    [
        ("running", {"net-1": {"IPAddress": "10.0.0.2"}}, False),
        ("running", {}, True),
        ("paused", {"net-2": {"IPAddress": "10.0.0.2"}}, True),
        ("exited", {}, False),
    ],
)
def test_what_runs_without_the_network_that_it_was_made_on_is_cut_off(
    status: str, addresses: dict[str, Any], cut_off: bool
) -> None:
    found = _inspection(Status=status) | {"NetworkSettings": {"Networks": addresses}}
    assert inspected(found).is_cut_off == cut_off
