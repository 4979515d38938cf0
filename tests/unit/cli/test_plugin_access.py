"""Which cluster the plugin asks and as whom, and how it ends when that does not work."""

import base64
import json
import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.cli import credentials
from controller.cli.completion import lines
from controller.cli.connection import Connection
from controller.cli.errors import CommandError
from controller.cli.kubeconfig import Access, read
from tests.unit.cli.fake_api import NODES, FakeApi, status
from tests.unit.cli.operator import Operator


def config(path: Path, *, current: str = "", **contexts: dict[str, Any]) -> Path:
    """A kubeconfig with a context, a cluster and a user for each name."""
    kinds: dict[str, list[Any]] = {"clusters": [], "users": [], "contexts": []}
    for name, parts in contexts.items():
        server = {"server": f"https://{name}.example.org"}
        kinds["clusters"].append({"name": name, "cluster": server | parts.get("cluster", {})})
        kinds["users"].append({"name": name, "user": parts.get("user", {})})
        context = {"cluster": name, "user": name} | parts.get("context", {})
        kinds["contexts"].append({"name": name, "context": context})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(kinds | ({"current-context": current} if current else {})))
    return path


def found(*words: str, **environment: str) -> Access:
    return read(*words, environment=environment, service_account=Path("/nonexistent"))


def test_a_list_of_kubeconfigs_is_one_and_the_first_has_its_way(tmp_path: Path) -> None:
    first = config(tmp_path / "a" / "config", one={"user": {"client-key": "keys/one"}})
    second = config(
        tmp_path / "b" / "config",
        current="two",
        one={"cluster": {"server": "https://wrong"}},
        two={"cluster": {"certificate-authority": "ca.crt"}, "context": {"namespace": "team"}},
    )
    files = os.pathsep.join(["", str(first), str(tmp_path / "absent"), str(second)])

    two = found(KUBECONFIG=files)
    one = read(None, "one", environment={"KUBECONFIG": files})

    assert (two.context, two.namespace) == ("two", "team")
    assert two.cluster["certificate-authority"] == str(tmp_path / "b" / "ca.crt")
    assert one.server == "https://one.example.org"
    assert one.user == {"client-key": str(tmp_path / "a" / "keys" / "one")}
    assert one.namespace == "default"


def test_the_option_goes_before_the_variable_and_that_before_the_home(tmp_path: Path) -> None:
    home = config(tmp_path / ".kube" / "config", current="home", home={})
    named = config(tmp_path / "named", current="named", named={})
    option = config(tmp_path / "option", current="option", option={})
    assert found(HOME=str(tmp_path)).context == "home"
    assert found(HOME=str(tmp_path), KUBECONFIG=str(named)).context == "named"
    assert found(str(option), HOME=str(tmp_path), KUBECONFIG=str(named)).context == "option"
    assert home.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "No current context in"),
        ({"current-context": "x", "contexts": None}, "No context 'x' in .*; there are none"),
        ([], "is no kubeconfig: expected a mapping"),
        ({"users": [{"user": {}}]}, "an entry of users lacks name or user"),
        (
            {"current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "c"}}]},
            r"No cluster \(of the context x\) 'c'",
        ),
    ],
)
def test_a_kubeconfig_that_is_none_says_what_is_missing(
    tmp_path: Path, content: Any, words: str
) -> None:
    path = tmp_path / "config"
    path.write_text(json.dumps(content))
    if content == []:
        path.write_text("text")
    with pytest.raises(CommandError, match=words):
        found(KUBECONFIG=str(path))


def test_no_kubeconfig_at_all(operator: Operator, tmp_path: Path) -> None:
    del operator.environment["KUBECONFIG"]
    done = operator("nodes")
    assert done.exit_code == 1
    assert f"No kubeconfig: there is no {tmp_path}/.kube/config. Set KUBECONFIG" in done.stderr
    assert operator("nodes", "--kubeconfig", "/absent").exit_code == 1


def test_in_a_pod_it_is_the_service_account(tmp_path: Path) -> None:
    for name, text in (("token", "t"), ("ca.crt", "ca"), ("namespace", "team")):
        (tmp_path / name).write_text(text)
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    access = read(environment=environment | {"HOME": "/nonexistent"}, service_account=tmp_path)
    assert access.server == "https://[fd00::1]:443"
    assert access.namespace == "team"
    assert credentials.prepared(access, tmp_path)[1] == {"token": "t"}


def test_keys_lie_where_nobody_else_can_read_them_and_not_for_long(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "shared"))
    (tmp_path / "shared").mkdir()
    inline = base64.b64encode(b"key").decode()
    user = {"client-key-data": inline, "client-certificate-data": inline}
    access = found(str(api.kubeconfig(tmp_path / "config", **user)))

    with Connection.open(access):
        folder, *others = (tmp_path / "shared").iterdir()
        assert others == []
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert (folder / "client-key").read_bytes() == b"key"

    assert list((tmp_path / "shared").iterdir()) == []


EXEC = """\
import json, os, pathlib
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
calls = pathlib.Path(os.environ["CALLS"])
number = int(calls.read_text()) + 1 if calls.exists() else 1
calls.write_text(str(number))
assert info["kind"] == "ExecCredential" and info["spec"]["cluster"]["server"], info
status = {"token": f"token-{number}"}
print(json.dumps({"apiVersion": info["apiVersion"], "kind": "ExecCredential", "status": status}))
"""


def test_an_exec_program_is_asked_for_a_token_and_again_when_it_has_expired(
    operator: Operator, tmp_path: Path
) -> None:
    program = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", EXEC],
        "env": [{"name": "CALLS", "value": str(tmp_path / "calls")}],
        "provideClusterInfo": True,
        "interactiveMode": "Never",
    }
    operator.api.kubeconfig(tmp_path / "config", exec=program)
    operator.node("node-1")

    def expired(method: str, path: str) -> Any:
        is_old = operator.api.headers[-1]["Authorization"] != "Bearer token-2"
        return status(401, "Unauthorized", "Unauthorized") if is_old else None

    operator.api.before = expired
    assert operator("nodes").exit_code == 0
    assert (tmp_path / "calls").read_text() == "2"


def test_an_exec_program_that_is_not_there_tells_how_to_get_it(
    operator: Operator, tmp_path: Path
) -> None:
    program = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "absent-login",
        "installHint": "Install absent-login first",
    }
    operator.api.kubeconfig(tmp_path / "config", exec=program)
    done = operator("nodes")
    assert done.exit_code == 1
    assert "exec program 'absent-login' of the user 'operator'" in done.stderr
    assert "Install absent-login first" in done.stderr


def test_wrong_credentials(operator: Operator) -> None:
    operator.api.before = lambda method, path: status(401, "Unauthorized", "Unauthorized")
    done = operator("nodes")
    assert done.exit_code == 1
    assert "does not accept the credentials of the user operator (context fake in" in done.stderr


def test_no_answer(operator: Operator, api: FakeApi) -> None:
    url = api.url
    config(Path(operator.environment["KUBECONFIG"]), current="a", a={"cluster": {"server": URL}})
    done = operator("nodes")
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: No answer from the API server {URL} (context a in ")
    assert done.stderr.endswith("Connection refused\n")
    assert url != URL


URL = "https://127.0.0.1:1"


def test_a_right_that_is_missing_is_named(operator: Operator) -> None:
    operator.node("node-1")
    text = 'challengenodes.challenge-controller.io "node-1" is forbidden: User "eve" cannot …'
    operator.api.before = lambda method, path: (
        status(403, "Forbidden", text, "node-1") if method == "PATCH" else None
    )
    done = operator("cordon", "node-1")
    assert done.exit_code == 1
    assert done.stderr == (
        "Error: The right to patch challengenodes.challenge-controller.io in the whole cluster is "
        f"missing; the API server says: {text}\n"
    )


def test_missing_definitions_are_told_from_a_missing_node(operator: Operator) -> None:
    operator.api.served.clear()
    for words in (["nodes"], ["cordon", "node-1"], ["list", "-A"]):
        done = operator(*words)
        assert done.exit_code == 1
        assert "does not know challenge" in done.stderr
        assert "challenge-controller crds | kubectl apply -f -" in done.stderr


@pytest.mark.parametrize("answer", [(200, "<html>"), (502, "<html>"), (404, "<html>")])
def test_what_is_no_api_server_is_told(operator: Operator, answer: tuple[int, str]) -> None:
    operator.api.before = lambda method, path: answer
    done = operator("nodes")
    assert done.exit_code == 1
    assert operator.api.url in done.stderr


def test_a_refusal_of_the_content_is_the_api_servers_words(operator: Operator) -> None:
    operator.api.before = lambda method, path: status(422, "Invalid", "drain needs unschedulable")
    done = operator("drain", "node-1")
    assert done.exit_code == 1
    assert "(422): drain needs unschedulable" in done.stderr


def test_a_machine_s_netrc_is_not_read(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login eve password wrong\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    operator("nodes")
    assert operator.api.headers[-1]["Authorization"] == "Bearer secret"


def test_completion_knows_commands_options_and_nodes(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in operator.environment.items():
        monkeypatch.setenv(key, value)
    operator.node("node-1")
    operator.node("other")

    assert [line.partition("\t")[0] for line in lines([], "un")] == ["uncordon", ":4"]
    assert [line.partition("\t")[0] for line in lines(["drain"], "--f")] == ["--force", ":4"]
    assert lines(["drain"], "n") == ["node-1", ":4"]
    assert lines(["list", "--node"], "") == ["node-1", "other", ":4"]
    operator.api.before = lambda method, path: status(403, "Forbidden", "no")
    assert lines(["cordon"], "n") == [":4"]
    assert operator.api.requests[-1] == ("GET", NODES)
