"""What RBAC alone gives to agents and the manager. That it is enough, tests/nodes shows."""

from collections.abc import Callable

import pytest

from controller.cluster import finalizer
from controller.cluster.client import INSTANCES, Cluster
from controller.cluster.errors import Conflict, Forbidden
from hack.bed import accounts
from hack.bed.cluster import NAMESPACE
from hack.bed.controlplane import ControlPlane
from hack.bed.kubeconfig import Kubectl
from tests.integration.rights.users import LEASES, User
from tests.integration.world import container, instance, until

SECRETS = "/api/v1/namespaces/{}/secrets"


@pytest.fixture(scope="module")
def bare(objects: None, agent: Callable[[str], User], path: Callable[..., str]) -> User:
    """The agent of node-a, with no more than its role."""
    user = agent("node-a")
    # What another module has bound to it is gone some moments after.
    until(lambda: "cannot delete resource" in user.delete(path("mine")))
    return user


@pytest.fixture(scope="module")
def manager(control_plane: ControlPlane, kubectl: Kubectl, administrator: User) -> User:
    kubeconfig = accounts.manager_kubeconfig(control_plane, kubectl)
    return administrator.bearing((kubeconfig.parent / "manager.token").read_text())


def test_an_agent_has_no_right_to_delete_make_or_list_what_it_need_not(
    bare: User, path: Callable[..., str], team: str
) -> None:
    node = path("node-a", plural="challengenodes")
    body = instance("new", container("challenge-echo:dev"))
    refused = {
        'cannot delete resource "challengeinstances"': bare.delete(path("mine")),
        'cannot delete resource "challengenodes"': bare.delete(node),
        'cannot delete resource "leases"': bare.delete(f"{LEASES}/node-node-a"),
        'cannot create resource "challengeinstances"': bare.create(path(), body),
        'cannot list resource "secrets"': str(bare.get(SECRETS.format(team))["message"]),
        'cannot get resource "challengepools"': str(
            bare.get(path("any", plural="challengepools"))["message"]
        ),
    }
    for words, said in refused.items():
        assert words in said


def test_the_manager_reads_no_secret_and_leaves_nodes_and_their_leases(
    manager: User, objects: None, path: Callable[..., str], team: str
) -> None:
    node = path("node-a", plural="challengenodes")
    own = {"spec": {"unschedulable": True}}
    refused = {
        'cannot get resource "secrets"': str(manager.get(SECRETS.format(team) + "/a")["message"]),
        'cannot delete resource "challengenodes"': manager.delete(node),
        'cannot patch resource "challengenodes"': manager.merge(node, own),
        'cannot patch resource "leases"': manager.merge(f"{LEASES}/node-node-a", {"spec": {}}),
        'cannot update resource "leases"': manager.change(
            f"{LEASES}/node-node-a", lambda body: None, manager
        ),
    }
    for words, said in refused.items():
        assert words in said


async def test_a_finalizer_for_an_instance_that_is_gone_makes_no_other(
    bare: User, control_plane: ControlPlane, kubectl: Kubectl, team: str
) -> None:
    """Server-side apply makes what is missing; its uid has to keep it from that, not a right."""
    kubeconfig = accounts.agent_kubeconfig(control_plane, kubectl, "agent-node-a", "node-a")
    cluster = await Cluster.connect(kubeconfig)
    try:
        read = await cluster.get(INSTANCES, "mine", team)
        await finalizer.add(cluster, read)
        gone = read | {"metadata": read["metadata"] | {"name": "gone"}}
        with pytest.raises(Conflict):
            await finalizer.add(cluster, gone)
        with pytest.raises(Forbidden, match=f"{NAMESPACE}:challenge-agent"):
            await cluster.delete(INSTANCES, "mine", team)
    finally:
        await cluster.close()
