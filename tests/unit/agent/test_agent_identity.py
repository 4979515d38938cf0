"""Who the agent is, and which address it tells players."""

import shutil
import socket
import tempfile
from pathlib import Path

import pytest

from controller.agent.address import towards
from controller.agent.identity import IdentityMismatch, confirm, holder, only_ours
from controller.cluster.lease import Lease
from controller.ledger import Ledger
from controller.runtime import labels
from controller.runtime.engine import Engine
from controller.settings import load
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.runtime.fake_engine import FakeEngine


async def test_what_a_ledger_was_made_for_is_recorded_once_and_confirmed(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.db", "10000-10009") as ledger:
        await confirm(ledger, "engine", "ABCD")
        await confirm(ledger, "engine", "ABCD")
        await confirm(ledger, "node", "n1")
    with Ledger.open(tmp_path / "ledger.db", "10000-10009") as ledger:
        await confirm(ledger, "engine", "ABCD")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (
            "engine",
            ["a copy of another node's", "CHALLENGE_STATE_DIR", "CHALLENGE_DOCKER_HOST", ": mv "],
        ),
        (
            "node",
            [
                "CHALLENGE_NODE_NAME=first",
                "kubectl challenge drain first --force",
                "kubectl challenge forget-node first",
            ],
        ),
        ("cluster", ["CHALLENGE_KUBECONFIG"]),
        ("installation", ["CHALLENGE_INSTALLATION"]),
    ],
)
async def test_another_one_is_refused_with_what_to_do(
    tmp_path: Path, key: str, words: list[str]
) -> None:
    """A cloned state folder or a wrong socket: serving it would tear down what is not its own."""
    with Ledger.open(tmp_path / "ledger.db", "10000-10009") as ledger:
        await confirm(ledger, key, "first")
        with pytest.raises(IdentityMismatch) as caught:
            await confirm(ledger, key, "second")
        known = [
            str(tmp_path / "ledger.db"),
            f"{key} 'first'",
            "'second'",
            "move the ledger's file",
        ]
        for word in known + words:
            assert word in str(caught.value)
        await confirm(ledger, key, "first")


def containers_of(*nodes: str) -> list[dict[str, object]]:
    marks = [{labels.NODE: node, labels.INSTANCE_UID: "u"} for node in nodes]
    return [
        {"Id": "1", "Names": ["/c"], "Labels": mark, "State": "exited", "ImageID": "sha256:1"}
        for mark in marks
    ]


async def test_an_engine_with_containers_of_another_name_is_refused(tmp_path: Path) -> None:
    """Renamed with a new state folder: nobody would ever take them away."""
    folder = Path(tempfile.mkdtemp(prefix="cc-"))
    fake = FakeEngine(folder / "docker.sock")
    await fake.start()
    engine = Engine(fake.url, timeout=30.0)
    settings = load({"node_name": "n1", "state_dir": str(tmp_path)})
    try:
        for found in ([], containers_of("n1", "n1")):
            fake.answer = lambda _, found=found: (200, found)  # type: ignore[misc]  # a closure
            await only_ours(engine, settings)
        fake.answer = lambda _: (200, containers_of("n1", "old"))
        with pytest.raises(IdentityMismatch) as caught:
            await only_ours(engine, settings)
        for word in ("node 'old'", "'n1'", "drain old", "label=challenge-controller.io/node=old"):
            assert word in str(caught.value)
        assert "installation%3Ddefault" in fake.requests[-1].path, "not those of other ones"
    finally:
        await engine.close()
        await fake.stop()
        shutil.rmtree(folder)


async def test_a_clone_of_the_machine_is_another_holder_of_the_lease(tmp_path: Path) -> None:
    """Its engine's ID, its ledger and the node's name are the same as the first one's."""
    first, clone = tmp_path / "first", tmp_path / "clone"
    first.write_text("7d2f\n")
    clone.write_text("91ce\n")
    cluster, seconds = FakeCluster(), [0.0]

    def lease(boot: Path) -> Lease:
        return Lease(
            cluster, "ns", "node-n1", holder("ABCD", boot), 40, monotonic=lambda: seconds[0]
        )

    assert await lease(first).take() == "engine ABCD, boot 7d2f"
    assert await lease(first).take() == "engine ABCD, boot 7d2f", "started again, it need not wait"
    assert await lease(clone).take() == "engine ABCD, boot 7d2f", "the first one has it"
    assert holder("ABCD", tmp_path / "absent") == "engine ABCD"
    assert holder("ABCD") == holder("ABCD") != "engine ABCD"


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
