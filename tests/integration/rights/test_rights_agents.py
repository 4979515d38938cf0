"""What an agent's token is good for: writing about its own node, and nothing else.

RBAC allows these agents everything here, so that what is refused is refused by the policy.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hack.bed.cluster import NAMESPACE
from hack.bed.controlplane import ControlPlane
from hack.bed.kubeconfig import Kubectl
from tests.integration.rights.conftest import chnode
from tests.integration.rights.users import LEASES, Object, User
from tests.integration.world import container, instance, until

ObjectPath = Callable[..., str]
OWN_FINALIZER = "challenge-controller.io/agent"
ACCOUNT = f"{NAMESPACE}:challenge-agent"
NOT_OWN = "status.nodeName: the instance is on node {}; expected one on node-a, the node of this"


@pytest.fixture(scope="module")
def everything_is_allowed(kubectl: Kubectl) -> Iterator[None]:
    """By RBAC, to every agent."""
    binding = ("clusterrolebinding", "agents-may-do-everything")
    role = ("--clusterrole=cluster-admin", f"--serviceaccount={ACCOUNT}")
    kubectl("create", *binding, *role)
    yield
    kubectl("delete", *binding)


@pytest.fixture(scope="module")
def mine(
    everything_is_allowed: None, objects: None, agent: Callable[[str], User], path: ObjectPath
) -> User:
    """The agent of node-a."""
    user = agent("node-a")
    until(lambda: user.merge(path("mine"), {}) == "")
    # The policy is in force some moments after it was written.
    until(lambda: "an agent must not" in user.delete(path("mine")))
    return user


@pytest.fixture(scope="module")
def nameless(mine: User, kubectl: Kubectl) -> User:
    """An agent whose token is bound to nothing."""
    token = kubectl("create", "token", "challenge-agent", "-n", NAMESPACE).stdout
    return mine.bearing(token)


# -- its own ---------------------------------------------------------------------------------------


def test_it_writes_the_status_of_an_instance_on_its_node(
    mine: User, administrator: User, path: ObjectPath
) -> None:
    def ready(body: Object) -> None:
        body["status"]["address"] = "10.0.0.1"

    assert mine.change(path("mine", "status"), ready, administrator) == ""


def test_it_adds_and_removes_its_finalizer(mine: User, path: ObjectPath) -> None:
    body = {
        "apiVersion": "challenge-controller.io/v1alpha1",
        "kind": "ChallengeInstance",
        "metadata": {"name": "mine", "finalizers": [OWN_FINALIZER]},
    }
    assert mine.apply(path("mine"), body) == ""
    assert mine.merge(path("mine"), {"metadata": {"finalizers": ["example.org/other"]}}) == ""


def test_it_registers_labels_and_describes_its_node(
    mine: User, agent: Callable[[str], User], administrator: User, path: ObjectPath
) -> None:
    node = path("node-a", plural="challengenodes")
    fresh = agent("node-fresh")
    everything = chnode("node-fresh", labels={"a": "b"}) | {"spec": {"unschedulable": True}}
    assert fresh.create(path(plural="challengenodes"), everything) == ""
    assert mine.merge(node, {"metadata": {"labels": {"arch": "amd64"}}}) == ""
    status = path("node-a", "status", plural="challengenodes")
    assert mine.change(status, lambda o: o.update(status={"address": "a"}), administrator) == ""


def test_it_keeps_its_lease(mine: User, agent: Callable[[str], User], administrator: User) -> None:
    assert agent("node-fresh").create(LEASES, lease("node-node-fresh")) == ""
    renewed = {"spec": {"holderIdentity": "me", "leaseDurationSeconds": 40}}
    path = f"{LEASES}/node-node-a"
    assert mine.change(path, lambda body: body.update(renewed), administrator) == ""


# -- what is not -----------------------------------------------------------------------------------


@pytest.mark.parametrize("node", [None, "node-b"])
def test_it_does_not_write_the_status_of_another_nodes_instance(
    mine: User, administrator: User, path: ObjectPath, node: str | None
) -> None:
    name = path("pending" if node is None else "theirs", "status")
    where = "(none yet)" if node is None else node

    def take(body: Object) -> None:
        body["status"]["nodeName"] = "node-a"

    said = mine.change(name, take, administrator)
    assert NOT_OWN.format(where) in said
    said = mine.change(name, lambda body: body["status"].update(address="x"), administrator)
    assert NOT_OWN.format(where) in said


@pytest.mark.parametrize("node", ["", "node-b"])
def test_it_does_not_move_an_instance_away(
    mine: User, administrator: User, path: ObjectPath, node: str
) -> None:
    def move(body: Object) -> None:
        del body["status"]["nodeName"]
        if node:
            body["status"]["nodeName"] = node

    said = mine.change(path("mine", "status"), move, administrator)
    assert "status.nodeName: only the manager places and moves instances" in said


def test_it_leaves_the_finalizer_of_another_nodes_instance(mine: User, path: ObjectPath) -> None:
    for name in ("theirs", "pending"):
        said = mine.merge(path(name), {"metadata": {"finalizers": ["example.org/other"]}})
        assert "expected one on node-a" in said


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"spec": {"ttl": "9h"}}, "spec: it is the user's"),
        ({"metadata": {"labels": {"team": "blue"}}}, "labels, annotations and ownerReferences"),
        ({"metadata": {"labels": None}}, "labels, annotations and ownerReferences"),
        ({"metadata": {"annotations": {"x": "y"}}}, "labels, annotations and ownerReferences"),
        (
            {"metadata": {"ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "b"}]}},
            "labels, annotations and ownerReferences",
        ),
        ({"metadata": {"finalizers": [OWN_FINALIZER]}}, "to add or remove"),
        (
            {"metadata": {"finalizers": [OWN_FINALIZER, "example.org/other", "example.org/new"]}},
            "to add or remove challenge-controller.io/agent only",
        ),
    ],
)  # fmt: skip
def test_it_changes_nothing_else_of_its_instances(
    mine: User, path: ObjectPath, patch: Object, message: str
) -> None:
    assert message in mine.merge(path("mine"), patch)


def test_it_does_not_touch_another_node(mine: User, administrator: User, path: ObjectPath) -> None:
    other = "metadata.name: node-b is another node; expected node-a, the node of this agent"
    theirs = path("node-b", plural="challengenodes")
    assert other in mine.merge(theirs, {"metadata": {"labels": {"x": "y"}}})
    status = f"{theirs}/status"
    assert other in mine.change(status, lambda o: o.update(status={}), administrator)
    assert "node-c is another node" in mine.create(path(plural="challengenodes"), chnode("node-c"))


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"spec": {"maxInstances": 5}}, "spec: it is the operator's"),
        ({"metadata": {"labels": {"zone": "blue"}}}, "expected an agent to add only"),
        ({"metadata": {"labels": {"zone": None}}}, "expected an agent to add only"),
        ({"metadata": {"annotations": {"x": "y"}}}, "annotations, finalizers and owner"),
        ({"metadata": {"finalizers": ["a.b/c"]}}, "annotations, finalizers and owner"),
        (
            {"metadata": {"ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "b"}]}},
            "annotations, finalizers and owner",
        ),
    ],
)  # fmt: skip
def test_it_leaves_to_the_operator_what_is_his(
    mine: User, path: ObjectPath, patch: Object, message: str
) -> None:
    assert message in mine.merge(path("node-a", plural="challengenodes"), patch)


def test_it_does_not_take_another_lease(mine: User, administrator: User) -> None:
    for name in ("node-node-c", "challenge-manager"):
        said = mine.create(LEASES, lease(name))
        assert f"the Lease {name} is not this agent's; expected node-node-a" in said
    theirs = f"{LEASES}/node-node-b"
    taken = {"spec": {"holderIdentity": "me"}}
    said = mine.change(theirs, lambda body: body.update(taken), administrator)
    assert "the Lease node-node-b is not this agent's" in said


def test_it_deletes_and_makes_nothing(mine: User, path: ObjectPath) -> None:
    said = [
        mine.delete(path("mine")),
        mine.delete(path("node-a", plural="challengenodes")),
        mine.delete(f"{LEASES}/node-node-a"),
        mine.delete(path()),
        mine.create(path(), instance("new", container("challenge-echo:dev"))),
        mine.create(path(plural="challenges"), challenge("new")),
    ]
    assert [text.partition("an agent must not ")[2].partition(";")[0] for text in said] == [
        "DELETE challengeinstances",
        "DELETE challengenodes",
        "DELETE leases",
        "DELETE challengeinstances",
        "CREATE challengeinstances",
        "CREATE challenges",
    ]


def test_without_a_node_it_is_refused(
    nameless: User, administrator: User, path: ObjectPath
) -> None:
    words = "is an agent whose token names no node; expected a token bound to a pod or a Node"
    # Its node would be "", like that of an instance that was not placed yet.
    said = nameless.change(path("pending", "status"), lambda body: None, administrator)
    assert f"system:serviceaccount:{ACCOUNT} {words}" in said
    assert words in nameless.merge(path("pending"), {"metadata": {"finalizers": []}})


def test_members_of_the_agents_group_are_agents_too(
    mine: User, administrator: User, control_plane: ControlPlane, path: ObjectPath, folder: Path
) -> None:
    groups = ["system:masters", "challenge-controller.io:agents"]
    outside = control_plane.kubeconfig("outside-agent", groups=groups)
    user = User.of(outside, folder)
    said = user.change(path("pending", "status"), lambda body: None, administrator)
    assert "outside-agent is an agent whose token names no node" in said
    # One about whom the API server knows nothing but his name: its role lets him patch instances.
    bare = administrator.impersonating("bare-agent", "challenge-controller.io:agents")
    said = bare.merge(path("pending"), {"metadata": {"finalizers": []}})
    assert "bare-agent is an agent whose token names no node" in said


def test_others_are_not_meant(administrator: User, path: ObjectPath) -> None:
    for kind in ("challengeinstances", "challengenodes"):
        name = "theirs" if kind == "challengeinstances" else "node-b"
        assert administrator.delete(path(name, plural=kind)) == ""
    assert administrator.merge(path("mine"), {"metadata": {"labels": {"team": "blue"}}}) == ""


def lease(name: str) -> Object:
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}


def challenge(name: str) -> Object:
    return {
        "apiVersion": "challenge-controller.io/v1alpha1",
        "kind": "Challenge",
        "metadata": {"name": name},
        "spec": {"template": {"containers": [{"name": "a", "image": "challenge-echo:dev"}]}},
    }
