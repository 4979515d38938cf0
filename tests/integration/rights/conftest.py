"""Accounts with what they may do, and objects of two nodes, on a real API server; no engine."""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hack.bed import accounts
from hack.bed.cluster import NAMESPACE
from hack.bed.controlplane import ControlPlane
from hack.bed.kubeconfig import Kubectl
from tests.integration.rights.users import GROUP_PATH, Object, User
from tests.integration.world import container, instance, until

Account = Callable[..., User]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("users")


@pytest.fixture(scope="session")
def administrator(control_plane: ControlPlane, folder: Path) -> User:
    """May do everything, and no policy is about it."""
    return User.of(control_plane.admin_kubeconfig, folder)


@pytest.fixture(scope="session")
def team(kubectl: Kubectl) -> str:
    """A namespace with objects that stay while the tests run: requests are dry runs."""
    name = f"rights-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    return name


@pytest.fixture(scope="session")
def path(team: str) -> Callable[..., str]:
    """``path("mine", "status")``: the path of an instance, or of another kind by ``plural``."""

    def path(name: str = "", subresource: str = "", plural: str = "challengeinstances") -> str:
        place = "" if plural == "challengenodes" else f"/namespaces/{team}"
        return f"{GROUP_PATH}{place}/{plural}/{name}/{subresource}".rstrip("/")

    return path


@pytest.fixture(scope="session")
def account(kubectl: Kubectl, administrator: User, team: str) -> Iterator[Account]:
    """``account("portal", {"challengeinstances": ["create"]})``: a service account of the team's.

    Rights are by resource, or by ``resource/name``. Those in ``everywhere`` are cluster-wide.
    """
    made: list[str] = []

    def account(name: str, rights: dict[str, list[str]], *, everywhere: bool = False) -> User:
        kubectl("create", "serviceaccount", name, "-n", team)
        rules = [_rule(resource, verbs) for resource, verbs in rights.items()]
        kind = "ClusterRole" if everywhere else "Role"
        meta = {"name": f"{team}-{name}"} | ({} if everywhere else {"namespace": team})
        role = {"kind": kind, "metadata": meta, "rules": rules}
        binding = {
            "kind": f"{kind}Binding",
            "metadata": meta,
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": kind,
                "name": meta["name"],
            },
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": team}],
        }
        for body in (role, binding):
            body["apiVersion"] = "rbac.authorization.k8s.io/v1"
            kubectl("create", "-f", "-", input=json.dumps(body))
        if everywhere:
            made.extend(f"{body['kind']}/{meta['name']}" for body in (role, binding))
        token = kubectl("create", "token", name, "-n", team).stdout
        user = administrator.bearing(token)
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": _attributes(team, *next(iter(rights.items())))},
        }
        # Authorizers learn of a role by a watch of their own.
        until(lambda: _allowed(user, review))
        return user

    yield account
    for name in made:
        kubectl("delete", name)


@pytest.fixture(scope="session")
def agent(control_plane: ControlPlane, kubectl: Kubectl, folder: Path) -> Callable[[str], User]:
    """``agent("node-a")``: the agent of a node, with a token bound to a pod on it."""

    def agent(node: str) -> User:
        name = f"agent-{node}"
        return User.of(accounts.agent_kubeconfig(control_plane, kubectl, name, node), folder)

    return agent


@pytest.fixture(scope="module")
def objects(kubectl: Kubectl, team: str) -> Iterator[None]:
    """Instances on node-a and node-b, one that has no node yet, the nodes, and their Leases.

    They go after each module: a manager that starts later would have them launched.
    """
    for name, node in (("mine", "node-a"), ("theirs", "node-b"), ("pending", None)):
        body = instance(name, container("challenge-echo:dev"))
        body["metadata"] |= {
            "labels": {"team": "red"},
            "annotations": {"note": "ours"},
            "finalizers": ["example.org/other", "challenge-controller.io/agent"],
        }
        kubectl("create", "-n", team, "-f", "-", input=json.dumps(body))
        if node:
            patch = json.dumps({"status": {"nodeName": node}})
            words = ("--subresource=status", "--type=merge", "-p", patch)
            kubectl("patch", "chinst", name, "-n", team, *words)
    for node in ("node-a", "node-b"):
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": f"node-{node}", "namespace": NAMESPACE},
        }
        for found in (chnode(node, labels={"zone": "red"}), lease):
            kubectl("apply", "-f", "-", input=json.dumps(found))
    yield
    free = ("--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    for name in ("mine", "theirs", "pending"):
        kubectl("patch", "chinst", name, "-n", team, *free)
        kubectl("delete", "chinst", name, "-n", team)
    for node in ("node-a", "node-b"):
        kubectl("delete", "chnode", node)
        kubectl("delete", "lease", f"node-{node}", "-n", NAMESPACE)


def chnode(name: str, **metadata: object) -> Object:
    """A ChallengeNode."""
    return {
        "apiVersion": "challenge-controller.io/v1alpha1",
        "kind": "ChallengeNode",
        "metadata": {"name": name} | metadata,
    }


def _rule(resource: str, verbs: list[str]) -> Object:
    plural, _, name = resource.partition("/")
    group = "challenge-controller.io" if plural.startswith("challenge") else ""
    rule: Object = {"apiGroups": [group], "resources": [plural], "verbs": verbs}
    return rule | ({"resourceNames": [name]} if name else {})


def _attributes(namespace: str, resource: str, verbs: list[str]) -> Object:
    rule = _rule(resource, verbs)
    return {
        "namespace": namespace,
        "group": rule["apiGroups"][0],
        "resource": rule["resources"][0],
        "verb": verbs[0],
    }


def _allowed(user: User, review: Object) -> bool:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = user.session.post(user.server + path, json=review)
    return bool(answer.json().get("status", {}).get("allowed"))
