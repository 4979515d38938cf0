"""Who the agent is, and which address it tells players."""

import socket
from pathlib import Path

import pytest

from controller.agent.address import towards
from controller.agent.identity import IdentityMismatch, confirm
from controller.ledger import Ledger


async def test_what_a_ledger_was_made_for_is_recorded_once_and_confirmed(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.db", "10000-10009") as ledger:
        await confirm(ledger, "engine", "ABCD")
        await confirm(ledger, "engine", "ABCD")
        await confirm(ledger, "node", "n1")
    with Ledger.open(tmp_path / "ledger.db", "10000-10009") as ledger:
        await confirm(ledger, "engine", "ABCD")


@pytest.mark.parametrize("key", ["engine", "node", "cluster", "installation"])
async def test_another_one_is_refused_with_what_to_do(tmp_path: Path, key: str) -> None:
    """A cloned state folder or a wrong socket: serving it would tear down what is not its own."""
    with Ledger.open(tmp_path / "ledger.db", "10000-10009") as ledger:
        await confirm(ledger, key, "first")
        with pytest.raises(IdentityMismatch) as caught:
            await confirm(ledger, key, "second")
        for word in (str(tmp_path / "ledger.db"), f"{key} 'first'", "'second'", "move", "correct"):
            assert word in str(caught.value)
        await confirm(ledger, key, "first")


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("https://127.0.0.1:6443", "127.0.0.1"),
        ("https://127.0.0.1", "127.0.0.1"),
        ("nonsense", "127.0.0.1"),
    ],
)
def test_the_address_is_the_one_on_the_way_to_the_api_server(server: str, expected: str) -> None:
    assert towards(server) == expected


def test_without_a_way_to_the_api_server_it_is_the_loopback_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert towards("https://kubernetes.example.org:6443") == "127.0.0.1"
