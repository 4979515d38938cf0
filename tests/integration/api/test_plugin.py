"""`kubectl challenge` as people call it: by kubectl, on the real API server, with real rights."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.cli.connection import Connection
from controller.cli.errors import CommandError
from controller.cli.kubeconfig import read
from controller.cli.resource import Resource
from hack.bed.controlplane import ControlPlane, free_port
from hack.bed.kubeconfig import Kubectl
from tests.integration.api.conftest import Client
from tests.integration.plugin import Plugin
from tests.integration.world import until

GROUP = "/apis/challenge-controller.io/v1alpha1"
SYSTEM = "challenge-system"


@pytest.fixture
def plugin(control_plane: ControlPlane, tmp_path: Path) -> Plugin:
    """The plugin as the administrator, who has a certificate."""
    return Plugin(control_plane.admin_kubeconfig, tmp_path / "cache")


class Objects:
    """Objects with a status, as agent and manager would write them."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self.kept: list[str] = []

    def node(self, name: str, *, ready: str = "True", reason: str = "Ready") -> None:
        """A node."""
        self._make(
            f"{GROUP}/challengenodes",
            {"kind": "ChallengeNode", "metadata": {"name": name}, "spec": {}},
            {
                "address": "203.0.113.7",
                "engine": {"id": "e", "version": "20.10.24"},
                "allocatable": {"instances": 100, "ports": 20000},
                "allocated": {"instances": 1, "ports": 2},
                "launch": {"launching": 0, "waiting": 0},
                "conditions": [_ready(ready, reason, "no answer for 50 s")],
            },
        )

    def instance(self, name: str, node: str, *, pool: bool = False) -> str:
        """An instance on a node, a player's or a pool's; returns its path."""
        meta: dict[str, Any] = {"name": name}
        if pool:
            owner = {"apiVersion": "challenge-controller.io/v1alpha1", "kind": "ChallengePool"}
            meta["ownerReferences"] = [owner | {"name": "p", "uid": "u", "controller": True}]
        return self._make(
            f"{GROUP}/namespaces/{self._namespace}/challengeinstances",
            {
                "kind": "ChallengeInstance",
                "metadata": meta,
                "spec": {"challengeRef": {"name": "echo"}, "user": "alice"},
            },
            {"nodeName": node, "conditions": [_ready("True", "Ready", "")]}
            | ({"poolUID": "u"} if pool else {}),
        )

    def lease(self, node: str, age: timedelta, duration: int = 4) -> str:
        """A node's Lease, renewed some time ago; returns its path."""
        renewed = (datetime.now(UTC) - age).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": "e", "leaseDurationSeconds": duration, "renewTime": renewed}
        body = {"kind": "Lease", "metadata": {"name": f"node-{node}"}, "spec": spec}
        path = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases"
        return self._make(path, body | {"apiVersion": "coordination.k8s.io/v1"}, None)

    def exists(self, path: str) -> bool:
        """Whether the API server has it."""
        return self._client.session.get(self._client.url + path).status_code == 200

    def get(self, path: str) -> Any:
        """The object at a path."""
        return self._client.session.get(self._client.url + path).json()

    def delete(self, path: str) -> None:
        """Delete what is at a path, if there is something."""
        self._client.session.delete(self._client.url + path)

    def _make(self, collection: str, body: dict[str, Any], status: Any) -> str:
        body = {"apiVersion": "challenge-controller.io/v1alpha1"} | body
        made = self._client.session.post(self._client.url + collection, json=body)
        assert made.status_code == 201, made.text
        path = f"{collection}/{body['metadata']['name']}"
        self.kept.append(path)
        if status is not None:
            full = made.json() | {"status": status}
            done = self._client.session.put(f"{self._client.url}{path}/status", json=full)
            assert done.status_code == 200, done.text
        return path


@pytest.fixture
def objects(client: Client, shared_namespace: str) -> Iterator[Objects]:
    """Nodes and instances, deleted after the test."""
    made = Objects(client, shared_namespace)
    yield made
    for path in made.kept:
        made.delete(path)


def _ready(status: str, reason: str, message: str) -> dict[str, str]:
    return {
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-31T12:00:00Z",
    }


Tokens = Callable[[str, list[dict[str, Any]]], Path]


@pytest.fixture
def token_of(
    control_plane: ControlPlane, kubectl: Kubectl, shared_namespace: str, tmp_path: Path
) -> Iterator[Tokens]:
    """`token_of(name, rules)`: a kubeconfig with the token of an account with these rights."""
    made: list[str] = []

    def make(name: str, rules: list[dict[str, Any]]) -> Path:
        subject = f"{shared_namespace}-{name}"
        made.append(subject)
        kubectl("create", "serviceaccount", name, "-n", shared_namespace)
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": subject},
            "rules": rules,
        }
        kubectl("apply", "-f", "-", input=json.dumps(role))
        account = f"--serviceaccount={shared_namespace}:{name}"
        kubectl("create", "clusterrolebinding", subject, f"--clusterrole={subject}", account)
        for rule in rules:
            what = f"{rule['resources'][0]}.{rule['apiGroups'][0]}".rstrip(".")
            asked = (
                rule["verbs"][0],
                what,
                f"--as=system:serviceaccount:{shared_namespace}:{name}",
            )
            # Authorizers learn of a role by a watch of their own.
            until(lambda asked=asked: kubectl("auth", "can-i", *asked, check=False).returncode == 0)  # type: ignore[misc]  # a default binds it
        token = kubectl("create", "token", name, "-n", shared_namespace).stdout.strip()
        config = yaml.safe_load(control_plane.admin_kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        path = tmp_path / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

    yield make
    for subject in made:
        kubectl("delete", f"clusterrole/{subject}", f"clusterrolebinding/{subject}")


def test_nodes_and_instances(plugin: Plugin, objects: Objects, shared_namespace: str) -> None:
    objects.node("plugin-1")
    objects.node("plugin-2", ready="Unknown", reason="NodeLost")
    objects.instance("alice", "plugin-1")

    nodes = plugin("nodes", "plugin-1", "plugin-2")
    listed = plugin("list", "-A", "--node", "plugin-1", "--challenge", "echo")
    names = plugin("list", "-n", shared_namespace, "-o", "name")

    assert (nodes.returncode, listed.returncode) == (0, 0)
    assert re.findall(r"plugin-\d +\S+ +\S+ +\S+", nodes.stdout) == [
        "plugin-1   Ready     1/100       2/20000",
        "plugin-2   Unknown   1/100       2/20000",
    ]
    assert "plugin-2: Ready is Unknown for " in nodes.stderr
    assert "NodeLost: no answer for 50 s" in nodes.stderr
    assert re.search(rf"{shared_namespace} +alice +alice +echo +plugin-1 +- +True", listed.stdout)
    assert names.stdout == "challengeinstance.challenge-controller.io/alice\n"


def test_drain_to_its_end(plugin: Plugin, objects: Objects, shared_namespace: str) -> None:
    objects.node("plugin-1")
    path = f"{GROUP}/challengenodes/plugin-1"
    managed = objects.instance("echo-1", "plugin-1", pool=True)
    objects.instance("alice", "plugin-1")

    with plugin.start("challenge", "drain", "plugin-1", "--timeout", "5m") as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line == "plugin-1: 0 of 1 have left, 1 stays\n":
                break
        assert objects.get(path)["spec"] == {"unschedulable": True, "drain": "Managed"}
        objects.delete(managed)
        output, errors = child.communicate(timeout=120)

    assert (child.returncode, errors) == (0, "")
    assert f"{shared_namespace}/echo-1 has left plugin-1\n" in output
    assert "plugin-1 is drained: nothing that is to move is left\n" in output
    assert f"  {shared_namespace}/alice  user alice  left: -\n" in output
    assert plugin("uncordon", "plugin-1").returncode == 0
    assert objects.get(path)["spec"] == {"unschedulable": False}


def test_drain_whose_time_is_over(plugin: Plugin, objects: Objects) -> None:
    objects.node("plugin-1")
    objects.instance("alice", "plugin-1")
    done = plugin("drain", "plugin-1", "--force", "--timeout", "1s")
    assert done.returncode == 4
    assert "plugin-1 is not drained within 1s: 0 of 1 have left" in done.stderr


def test_forgetting_a_node(plugin: Plugin, objects: Objects) -> None:
    objects.node("plugin-1")
    node = f"{GROUP}/challengenodes/plugin-1"
    lease = objects.lease("plugin-1", timedelta(0), duration=3600)

    lives = plugin("forget-node", "plugin-1", "--yes")
    assert lives.returncode == 5
    assert "The agent of plugin-1 seems to live" in lives.stderr
    objects.delete(lease)
    objects.lease("plugin-1", timedelta(minutes=10))
    assert plugin("forget-node", "plugin-1", answer="no\n").returncode == 5
    assert objects.exists(node)

    assert plugin("forget-node", "plugin-1", answer="yes\n").returncode == 0
    assert not objects.exists(node)
    assert not objects.exists(lease)


def test_who_may_only_read_is_told_the_right_that_is_missing(
    plugin: Plugin, objects: Objects, token_of: Tokens, tmp_path: Path
) -> None:
    objects.node("plugin-1")
    objects.instance("alice", "plugin-1")
    rule = {
        "apiGroups": ["challenge-controller.io"],
        "resources": ["challengenodes", "challengeinstances"],
        "verbs": ["get", "list"],
    }
    reader = Plugin(token_of("reader", [rule]), tmp_path / "reader")

    assert reader("nodes").returncode == 0
    assert "alice" in reader("list", "-A").stdout
    for command, right in (
        ("cordon", "patch challengenodes.challenge-controller.io in the whole cluster"),
        ("drain", "patch challengenodes.challenge-controller.io in the whole cluster"),
        ("forget-node", f"get leases.coordination.k8s.io in namespace {SYSTEM}"),
    ):
        done = reader(command, "plugin-1")
        assert done.returncode == 1
        assert f"The right to {right} is missing; the API server says: " in done.stderr
        assert ":reader" in done.stderr


def test_credentials_and_certificates_that_are_wrong(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    def changed(cluster: dict[str, Any], user: dict[str, Any] | None = None) -> Plugin:
        config = yaml.safe_load(control_plane.admin_kubeconfig.read_text())
        config["clusters"][0]["cluster"].update(cluster)
        if user:
            config["users"][0]["user"] = user
        path = tmp_path / f"changed-{len(list(tmp_path.iterdir()))}"
        path.write_text(yaml.safe_dump(config))
        return Plugin(path, tmp_path / "cache")

    inline = yaml.safe_load(control_plane.admin_kubeconfig.read_text())
    other_ca = inline["users"][0]["user"]["client-certificate-data"]
    away = f"https://127.0.0.1:{free_port('127.0.0.1')}"
    for plugin, words in (
        (changed({}, {"token": "wrong"}), "does not accept the credentials of the user"),
        (changed({"certificate-authority-data": other_ca}), "certificate verify failed"),
        (changed({"server": away}), f"No answer from the API server {away}"),
    ):
        done = plugin("nodes")
        assert done.returncode == 1
        assert words in done.stderr


def test_a_kind_that_nobody_serves(control_plane: ControlPlane) -> None:
    things = Resource("nobody.example.org/v1", "things", "Thing")
    with (
        Connection.open(read(str(control_plane.admin_kubeconfig))) as connection,
        pytest.raises(CommandError, match=r"does not know things.nobody.example.org. Is challenge"),
    ):
        connection.find(things)


def test_completion_by_kubectl(plugin: Plugin, objects: Objects) -> None:
    objects.node("plugin-1")
    with plugin.start("__complete", "challenge", "drain", "plug") as child:
        output, _ = child.communicate(timeout=120)
    assert output.splitlines() == ["plugin-1", ":4"]
