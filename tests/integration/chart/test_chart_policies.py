"""The admission policies of two releases in one cluster, each for its own people and nodes."""

import json
from collections.abc import Callable, Iterator

import pytest

from hack.bed.controlplane import ControlPlane
from hack.bed.kubeconfig import Kubectl
from tests.chart.rendered import Object, render
from tests.integration.rights.users import GROUP_PATH, User
from tests.integration.world import container, instance, until

ONE = {"fullnameOverride": "one", "instances": {"namespaces": ["one-ctf"]}}
TWO = {
    "fullnameOverride": "two",
    "installation": "exam",
    "instances": {"namespaces": ["two-ctf"]},
    "rbac": {"aggregate": False},
}
KINDS = (
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
)
NODES = f"{GROUP_PATH}/challengenodes"
TEMPLATE = "spec.template: only who may create Challenges"

Account = Callable[..., User]


@pytest.fixture(scope="module")
def releases(kubectl: Kubectl) -> Iterator[None]:
    """Both of them, but for what runs."""
    objects: list[Object] = []
    for name, values in (("one", ONE), ("two", TWO)):
        for namespace in (name, f"{name}-ctf"):
            kubectl("create", "namespace", namespace)
        found = render(values, release=name, namespace=name).objects
        objects += [each for each in found if each["kind"] in KINDS and not is_hook(each)]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    kubectl("apply", "-f", "-", input=text)
    yield
    kubectl("delete", "-f", "-", input=text)


@pytest.fixture(scope="module")
def administrator(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> User:
    return User.of(control_plane.admin_kubeconfig, tmp_path_factory.mktemp("users"))


@pytest.fixture(scope="module")
def account(releases: None, kubectl: Kubectl, administrator: User) -> Account:
    """``account("one", "agent", node="a")``: a role of a release, an agent in a pod on a node."""

    def account(release: str, role: str, *, node: str = "") -> User:
        name, words = f"{release}-{role}", []
        if node:
            pod = f"{name}-{node}"
            spec: Object = {"nodeName": node, "serviceAccountName": name}
            spec |= {"containers": [{"name": "agent", "image": "none"}]}
            for body in (
                {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}},
                {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod}, "spec": spec},
            ):
                kubectl("apply", "-n", release, "-f", "-", input=json.dumps(body))
            words = ["--bound-object-kind=Pod", f"--bound-object-name={pod}"]
        token = kubectl("create", "token", name, "-n", release, *words).stdout
        return administrator.bearing(token)

    return account


def test_an_agent_writes_of_the_node_of_its_installation(account: Account) -> None:
    one, two = account("one", "agent", node="a"), account("two", "agent", node="a")
    until(lambda: "another node; expected a," in one.create(NODES, chnode("b")))
    assert one.create(NODES, chnode("a")) == ""
    assert "a.exam is another node; expected a, the node" in one.create(NODES, chnode("a.exam"))
    until(lambda: "expected a.exam" in two.create(NODES, chnode("a")))
    assert two.create(NODES, chnode("a.exam")) == ""


def test_a_manager_makes_instances_of_pools_where_it_serves_and_nowhere_else(
    account: Account, kubectl: Kubectl
) -> None:
    for release, other in (("one", "two"), ("two", "one")):
        manager = account(release, "manager")
        own, others = path(f"{release}-ctf"), path(f"{other}-ctf")
        wait_for_answer(manager, own, pooled(), "")
        assert 'cannot create resource "challengeinstances"' in manager.create(others, pooled())


def test_a_creator_is_checked_wherever_a_release_serves(
    releases: None, kubectl: Kubectl, administrator: User
) -> None:
    for namespace in ("one-ctf", "two-ctf"):
        words = ("-n", namespace)
        kubectl("create", "serviceaccount", "portal", *words)
        verbs = ("--verb=create", "--resource=challengeinstances.challenge-controller.io")
        kubectl("create", "role", "portal", *verbs, *words)
        who = ("--role=portal", f"--serviceaccount={namespace}:portal")
        kubectl("create", "rolebinding", "portal", *who, *words)
        user = administrator.bearing(kubectl("create", "token", "portal", *words).stdout)
        wait_for_answer(user, path(namespace), inline(), TEMPLATE)


def wait_for_answer(user: User, place: str, body: Object, words: str) -> None:
    """Rights and policies are in force some moments after they were written."""
    until(lambda: user.create(place, body), lambda said: words in said if words else not said)


def path(namespace: str) -> str:
    return f"{GROUP_PATH}/namespaces/{namespace}/challengeinstances"


def inline() -> Object:
    return instance("new", container("challenge-echo:dev"))


def pooled() -> Object:
    body = inline()
    body["metadata"]["labels"] = {"challenge-controller.io/pool": "warm"}
    return body


def chnode(name: str) -> Object:
    kind = {"apiVersion": "challenge-controller.io/v1alpha1", "kind": "ChallengeNode"}
    return kind | {"metadata": {"name": name}}


def is_hook(found: Object) -> bool:
    return "helm.sh/hook" in found["metadata"].get("annotations", {})
