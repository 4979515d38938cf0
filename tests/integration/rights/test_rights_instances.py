"""What accounts of portals, players, authors and pools may ask for in an instance, by policy."""

import json
from collections.abc import Callable

import pytest

from hack.bed import accounts
from hack.bed.controlplane import ControlPlane
from hack.bed.kubeconfig import Kubectl
from tests.integration.rights.conftest import Account
from tests.integration.rights.users import Object, User
from tests.integration.world import container, instance, until

ObjectPath = Callable[..., str]
WRITE = ["create", "get", "list", "update", "patch", "delete"]
LABEL = "challenge-controller.io/pool"
TEMPLATE = "spec.template: only who may create Challenges in namespace"
NODE = "spec.nodeName: only who may create Challenges in namespace"
FLAG = "may be named only by who may get that Secret in namespace"
POOL = "metadata: only who may create ChallengePools in namespace"


@pytest.fixture(scope="module")
def portal(account: Account, path: ObjectPath) -> User:
    """A portal: it creates instances, and no more."""
    user = account("portal", {"challengeinstances": ["create"]})
    # The policy is in force some moments after it was written.
    until(lambda: TEMPLATE in user.create(path(), inline("x")))
    return user


@pytest.fixture(scope="module")
def student(portal: User, account: Account) -> User:
    """A student, who does what he likes with instances, and may read one Secret."""
    return account("student", {"challengeinstances": WRITE, "secrets/my-flag": ["get"]})


@pytest.fixture(scope="module")
def author(portal: User, account: Account) -> User:
    """An author of Challenges."""
    return account("author", {"challengeinstances": WRITE, "challenges": ["create"]})


@pytest.fixture(scope="module")
def host(portal: User, account: Account) -> User:
    """Who runs pools, and may read one Secret."""
    rights = {"challengepools": WRITE, "challengeinstances": WRITE, "secrets/my-flag": ["get"]}
    return account("host", rights)


@pytest.fixture(scope="module")
def given(kubectl: Kubectl, team: str) -> None:
    """An instance and a pool that somebody with every right has made, with all that they can."""
    both = inline("given", nodeName="node-a", flagSecretRef=secret("flag"))
    both["metadata"] |= {"labels": {LABEL: "a", "team": "red"}, "ownerReferences": [owner("a")]}
    for body in (both, pool("given", flagSecretRef=secret("flag"))):
        kubectl("create", "-n", team, "-f", "-", input=json.dumps(body))


# -- create ----------------------------------------------------------------------------------------


def test_a_portal_makes_instances_of_challenges(portal: User, path: ObjectPath) -> None:
    more = {"user": "alice", "seed": "7", "ttl": "1h", "nodeSelector": {"zone": "red"}}
    assert portal.create(path(), of_challenge("a", **more)) == ""


def test_a_portal_brings_no_template_node_or_flag(
    portal: User, path: ObjectPath, team: str
) -> None:
    assert f"{TEMPLATE} {team} may" in portal.create(path(), inline("a"))
    said = portal.create(path(), of_challenge("a", nodeName="node-a"))
    assert f"{NODE} {team} may choose the node node-a; expected none" in said
    said = portal.create(path(), of_challenge("a", flagSecretRef=secret("flag")))
    assert f"flagSecretRef.name: flag {FLAG} {team}; expected one that system:serv" in said
    assert f"{team}:portal may get" in said


def test_a_student_names_the_secret_that_he_may_get(student: User, path: ObjectPath) -> None:
    assert student.create(path(), of_challenge("a", flagSecretRef=secret("my-flag"))) == ""
    assert FLAG in student.create(path(), of_challenge("a", flagSecretRef=secret("flag")))
    assert TEMPLATE in student.create(path(), inline("a"))


def test_an_author_brings_a_template_and_chooses_a_node(author: User, path: ObjectPath) -> None:
    assert author.create(path(), inline("a", nodeName="node-a")) == ""
    assert FLAG in author.create(path(), inline("a", flagSecretRef=secret("my-flag")))


def test_rights_of_another_namespace_do_not_count(
    portal: User, account: Account, kubectl: Kubectl, team: str, path: ObjectPath
) -> None:
    user = account("guest", {"challengeinstances": ["create"]}, everywhere=True)
    other = f"{team}-other"
    kubectl("create", "namespace", other)
    rights = ("--verb=create,get", "--resource=challenges,challengepools,secrets", "-n", other)
    kubectl("create", "role", "all", *rights)
    kubectl("create", "rolebinding", "all", "--role=all", f"--serviceaccount={team}:guest",
            "-n", other)  # fmt: skip
    everything = inline("a", nodeName="node-a", flagSecretRef=secret("flag"))
    everything["metadata"]["labels"] = {LABEL: "p"}
    there = path().replace(f"/{team}/", f"/{other}/")
    until(lambda: user.create(there, everything) == "")
    assert TEMPLATE in user.create(path(), inline("a"))
    assert NODE in user.create(path(), of_challenge("a", nodeName="n"))
    assert FLAG in user.create(path(), of_challenge("a", flagSecretRef=secret("flag")))
    assert POOL in user.create(path(), of_pool("a"))


def test_only_who_may_create_pools_says_that_an_instance_is_one_of_a_pool(
    student: User, author: User, host: User, path: ObjectPath, team: str
) -> None:
    labelled = of_challenge("a")
    labelled["metadata"]["labels"] = {LABEL: "p"}
    owned = of_challenge("a")
    owned["metadata"]["ownerReferences"] = [owner("p")]
    for body in (labelled, owned):
        said = student.create(path(), body)
        assert f"{POOL} {team} may make an instance one of the pool p; expected neither" in said
        assert POOL in author.create(path(), body)
        assert host.create(path(), body) == ""
    owned["metadata"]["ownerReferences"] = [owner("p") | {"kind": "Other"}]
    assert student.create(path(), owned) == ""


# -- update ----------------------------------------------------------------------------------------


def test_what_is_there_is_not_asked_for_again(
    given: None, student: User, host: User, path: ObjectPath
) -> None:
    assert student.merge(path("given"), {"spec": {"ttl": "2h"}}) == ""
    assert student.merge(path("given"), {"metadata": {"labels": {"team": "blue"}}}) == ""
    assert student.merge(path("given"), {"metadata": {"labels": {LABEL: None}}}) == ""
    assert student.merge(path("given"), {"metadata": {"ownerReferences": None}}) == ""
    assert host.merge(path("given", plural="challengepools"), {"spec": {"replicas": 3}}) == ""


def test_an_instance_does_not_become_one_of_another_pool(
    given: None, student: User, path: ObjectPath
) -> None:
    assert POOL in student.merge(path("given"), {"metadata": {"labels": {LABEL: "b"}}})
    owners = {"metadata": {"ownerReferences": [owner("b")]}}
    assert POOL in student.merge(path("given"), owners)


# -- pools -----------------------------------------------------------------------------------------


def test_a_pool_names_only_a_secret_that_its_author_may_get(
    given: None, host: User, path: ObjectPath
) -> None:
    pools = path(plural="challengepools")
    assert host.create(pools, pool("a")) == ""
    assert host.create(pools, pool("a", flagSecretRef=secret("my-flag"))) == ""
    assert FLAG in host.create(pools, pool("a", flagSecretRef=secret("flag")))

    def name(flag: str) -> Object:
        return {"spec": {"instanceTemplate": {"spec": {"flagSecretRef": {"name": flag}}}}}

    assert host.merge(f"{pools}/given", name("my-flag")) == ""
    assert FLAG in host.merge(f"{pools}/given", name("other-flag"))


def test_the_manager_makes_the_instances_of_pools(
    portal: User, control_plane: ControlPlane, kubectl: Kubectl, path: ObjectPath
) -> None:
    kubeconfig = accounts.manager_kubeconfig(control_plane, kubectl)
    manager = portal.bearing((kubeconfig.parent / "manager.token").read_text())
    body = of_pool("a") | {"spec": of_challenge("a", flagSecretRef=secret("flag"))["spec"]}
    assert manager.create(path(), body) == ""


def inline(name: str, **spec: object) -> Object:
    return instance(name, container("challenge-echo:dev"), **spec)


def of_challenge(name: str, **spec: object) -> Object:
    return instance(name, challengeRef={"name": "web"}, **spec)


def of_pool(name: str) -> Object:
    body = of_challenge(name)
    body["metadata"] |= {"labels": {LABEL: "p"}, "ownerReferences": [owner("p")]}
    return body


def owner(pool: str) -> Object:
    return {
        "apiVersion": "challenge-controller.io/v1alpha1",
        "kind": "ChallengePool",
        "name": pool,
        "uid": f"uid-of-{pool}",
        "controller": True,
    }


def pool(name: str, **spec: object) -> Object:
    return {
        "apiVersion": "challenge-controller.io/v1alpha1",
        "kind": "ChallengePool",
        "metadata": {"name": name},
        "spec": {
            "challengeRef": {"name": "web"},
            "seeds": ["1"],
            "instanceTemplate": {"spec": spec},
        },
    }


def secret(name: str) -> Object:
    return {"name": name, "key": "flag"}
