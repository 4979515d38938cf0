"""`challenge-controller selftest`: says what works, names what does not, leaves nothing."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from controller.cli import selftest as module
from controller.cli.selftest import selftest
from tests.unit.cli.fake_api import FakeApi, Object, instances, status
from tests.unit.cli.operator import FakeTime, condition

PLACE = instances("team")


class Cluster:
    """A fake API server in which an instance comes up as it is told to."""

    def __init__(self, api: FakeApi, folder: Path) -> None:
        self.api = api
        self._environment = {"KUBECONFIG": str(api.kubeconfig(folder / "config"))}
        self.said = [condition("Ready", "True", "Ready")]
        self.port = 1
        api.created = self.launch

    def launch(self, body: Object) -> None:
        body["metadata"]["namespace"] = "team"
        port = {"name": "service", "containerName": "service", "containerPort": 80}
        port |= {"hostPort": self.port, "protocol": "TCP", "endpoint": f"127.0.0.1:{self.port}"}
        body["status"] = {"conditions": self.said, "nodeName": "node-1", "address": "127.0.0.1"}
        body["status"]["ports"] = [port]

    def __call__(self, *words: str) -> Result:
        words = ("--image=web:1", "--namespace=team", "--timeout=20", *words)
        return CliRunner().invoke(selftest, words, env=self._environment)

    def left(self) -> list[str]:
        return [path for path in self.api.objects if path.startswith(PLACE)]


@pytest.fixture
def cluster(api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(module, "time", FakeTime())
    return Cluster(api, tmp_path)


@pytest.fixture
def web() -> Iterator[int]:
    """The port of a web server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_instance_is_made_asked_and_taken_away(cluster: Cluster, web: int) -> None:
    cluster.port = web
    done = cluster()
    assert (done.exit_code, done.stderr) == (0, "")
    told = [line.split(maxsplit=3)[-1] for line in done.stdout.splitlines()]
    assert told[1:4] == [
        "Ready on node node-1",
        f"127.0.0.1:{web} answers 204 No Content",
        "deleted",
    ]
    assert done.stdout.endswith(" gone\nAll as it should be\n")
    assert cluster.left() == []
    assert [method for method, _ in cluster.api.changes()] == ["POST", "DELETE"]


def test_a_port_that_does_not_answer_is_named_and_nothing_is_left(cluster: Cluster) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        cluster.port = taken.getsockname()[1]
        done = cluster()
    assert done.exit_code == 1
    assert (
        f"is Ready, and 127.0.0.1:{cluster.port} does not answer from here (http): " in done.stderr
    )
    assert "Connection refused" in done.stderr
    assert cluster.left() == []


def test_a_service_that_closes_at_once_is_none(cluster: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        cluster.port = server.getsockname()[1]
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        done = cluster("--protocol=tcp")
        thread.join()
    assert done.exit_code == 1
    assert "(tcp): the connection was closed at once" in done.stderr


def test_one_that_will_not_come_up_is_told_with_its_reason(cluster: Cluster) -> None:
    cluster.said = [
        condition("Ready", "False", "ImagePullFailed", "web:1: not found\x1b"),
        condition("Stalled", "True", "ImagePullFailed"),
    ]
    done = cluster()
    assert done.exit_code == 1
    assert "will not come up: ImagePullFailed: web:1: not found\\x1b." in done.stderr
    assert "testInstance.image" in done.stderr
    assert cluster.left() == []


def test_one_that_nobody_looks_after_is_given_up(cluster: Cluster) -> None:
    cluster.said = []
    done = cluster()
    assert done.exit_code == 4
    assert "was not Ready within 20 s" in done.stderr
    assert "does a manager run?" in done.stderr
    assert cluster.left() == []


def test_a_right_that_is_missing_is_named(cluster: Cluster) -> None:
    cluster.api.before = lambda method, path: (
        status(403, "Forbidden", "no") if method == "POST" else None
    )
    done = cluster()
    assert done.exit_code == 1
    assert "The right to create challengeinstances.challenge-controller.io" in done.stderr
