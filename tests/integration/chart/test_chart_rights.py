"""Each right of agents and managers, held against what they really ask the API server for.

The chart's roles, bindings and policies are in force; agents and manager bear tokens of its
accounts, and do all of their work: launch, expire, pools, drain, a node that dies. None of their
requests may be refused, and no right may be without a request, but for those listed with a reason.
"""

import base64
import json
import os
import signal
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.bed.bed import Bed
from hack.bed.certificates import write_private
from hack.bed.cluster import NAMESPACE
from hack.bed.fleet import Fleet
from hack.bed.kubeconfig import Kubectl, write_token_kubeconfig
from hack.bed.processes import run
from tests.chart.rendered import Object, Rendered, render, template
from tests.integration.chart.requests import asked, granted, unused
from tests.integration.world import Instances, container, instance, until
from tests.nodes.nodes import TIMERS

USE = {"challenge-controller.io/use": "true"}
RARE: dict[str, set[str]] = {
    "agent": set(),
    "manager": {
        # To see whose the name is that a pool's instance was to have:
        # tests/unit/manager/test_manager_pool_owners.py.
        "get challengeinstances.challenge-controller.io",
        # No request: what OwnerReferencesPermissionEnforcement, which is on here, asks of who makes
        # the instances of a pool. Without it this test's pool stays empty.
        "update challengepools/finalizers.challenge-controller.io",
    },
    # No request: the policy asks it of who brings a template along.
    "test": {"create challenges.challenge-controller.io"},
    "uninstall": set(),
}


@pytest.fixture(scope="module")
def values() -> Object:
    """As the bed's accounts are called, for one namespace."""
    return {
        "fullnameOverride": "challenge",
        "instances": {"namespaces": [f"audited-{uuid.uuid4().hex[:8]}"]},
        "crds": {"enabled": False},
    }


@pytest.fixture(scope="module")
def release(values: Object) -> Rendered:
    return render(values)


@pytest.fixture(scope="module")
def served(values: Object, two_nodes: Bed, kubectl: Kubectl) -> Iterator[Instances]:
    """The namespace that is served, with agents and a manager that have the chart's rights."""
    (namespace,) = values["instances"]["namespaces"]
    kubectl("create", "namespace", namespace)
    kubectl("apply", "-f", "-", input=without_pods(template(values)))
    fleet = Fleet(
        two_nodes, TIMERS | {"CHALLENGE_FIREWALL": "on", "CHALLENGE_NAMESPACES": namespace}
    )
    # A node that its operator has made: the agent adds its labels.
    node = {"apiVersion": "challenge-controller.io/v1alpha1", "kind": "ChallengeNode"}
    whose = {"challenge-controller.io/installation": two_nodes.state.name}
    meta = {"metadata": {"name": "node-1", "labels": whose}}
    kubectl("create", "-f", "-", input=json.dumps(node | meta))
    fleet.start()
    yield Instances(two_nodes, kubectl, namespace)
    fleet.stop()


@pytest.fixture(scope="module")
def work(served: Instances, two_nodes: Bed, echo_image: str) -> None:
    """All that agents and managers do."""
    references(served, echo_image)
    challenge_and_pool(served, echo_image)
    placed_by_hand(served, two_nodes)
    lost_node(served, two_nodes, echo_image)
    words = ("--protocol=http", "--port=8080", f"--namespace={served.namespace}")
    command(two_nodes, "test", "selftest", f"--image={echo_image}", *words)
    command(
        two_nodes, "uninstall", "uninstall", "--timeout=90s", f"--namespaces={served.namespace}"
    )


@pytest.mark.slow  # tests/integration/rights holds the same rules to a shorter life
@pytest.mark.parametrize("role", ["agent", "manager", "test", "uninstall"])
def test_nothing_is_refused_and_no_right_is_idle(
    role: str, work: None, release: Rendered, audit_log: Path
) -> None:
    account = f"challenge-{role}"
    requests = asked(audit_log, account)
    assert len(requests) > 5
    refused = {str(request.right) for request in requests if request.code in (401, 403)}
    assert refused == set()
    assert unused(granted(release, account), requests) == set(RARE[role])


def command(bed: Bed, account: str, *words: str) -> None:
    """Run a command of the controller's as one of the chart's accounts, as its Jobs do."""
    plane = bed.control_plane
    token = bed.kubectl("create", "token", f"challenge-{account}", "-n", NAMESPACE).stdout
    file = bed.state.folder / f"{account}.token"
    write_private(file, token.encode())
    config = file.with_suffix(".kubeconfig")
    write_token_kubeconfig(
        config, name="bed", server=plane.server, authority=plane.authority, token_file=file
    )
    settings = {"CHALLENGE_INSTALLATION": bed.state.name, "KUBECONFIG": str(config)}
    run(sys.executable, "-m", "controller", *words, env=os.environ | settings, timeout=120)


def references(served: Instances, image: str) -> None:
    """An instance that takes what it can from Secrets and ConfigMaps, and whose time ends."""
    docker = json.dumps({"auths": {"registry.example.org": {"auth": _text("user:password")}}})
    for body in (
        secret("word", {"word": _text("s3cret")}),
        secret("pull", {".dockerconfigjson": _text(docker)}, "kubernetes.io/dockerconfigjson"),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "text"}, "data": {"a": "b"}},
    ):
        served.apply(body)
    env = [
        {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "word", "key": "word"}}},
        {"name": "TEXT", "valueFrom": {"configMapKeyRef": {"name": "text", "key": "a"}}},
    ]
    one: Object = container(image)
    one["env"] = [*one["env"], *env]
    taking = instance("taking", one, ttl="5s")
    taking["spec"]["template"]["imagePullSecrets"] = [{"name": "pull"}]
    served.apply(taking)
    served.wait("delete", "taking")  # its time begins when it is Ready


def challenge_and_pool(served: Instances, image: str) -> None:
    """A Challenge whose image is pulled ahead, and a pool of it that shrinks and grows."""
    served.apply(instance("early", challengeRef={"name": "kept"}))
    served.wait_reason("early", "ChallengeNotFound")
    challenge: Object = instance("kept", container(image)) | {"kind": "Challenge"}
    challenge["spec"]["prePull"] = True
    pool: Object = {
        "apiVersion": "challenge-controller.io/v1alpha1",
        "kind": "ChallengePool",
        "metadata": {"name": "kept"},
        "spec": {"challengeRef": {"name": "kept"}, "replicas": 2, "seeds": ["1"]},
    }
    served.apply(challenge, pool)
    words = ("-n", served.namespace, "--timeout=100s")
    served.kubectl("wait", "chpool/kept", "--for=condition=Ready", *words)
    served.kubectl("wait", "chal/kept", "--for=jsonpath={.status.prePulled}=2/2 nodes", *words)
    patch = ("--type=merge", "-p", '{"spec":{"replicas":1}}')
    served.kubectl("patch", "chpool", "kept", "-n", served.namespace, *patch)
    served.wait("Ready", "early")
    until(lambda: len(served.versions()) == 2)


def placed_by_hand(served: Instances, bed: Bed) -> None:
    """An instance gets its node without a manager, so its agent reads the Challenge."""
    manager = bed.state.controllers["manager"]
    manager.signal(signal.SIGSTOP)
    served.apply(instance("by-hand", challengeRef={"name": "kept"}))
    words = ("-n", served.namespace, "--subresource=status", "--type=merge")
    patch = json.dumps({"status": {"nodeName": "node-1"}})
    served.kubectl("patch", "chinst", "by-hand", *words, "-p", patch)
    served.wait("Ready", "by-hand")
    manager.signal(signal.SIGCONT)


def lost_node(served: Instances, bed: Bed, image: str) -> None:
    """A node dies: one of its instances moves; it is given up with one that is being deleted."""
    served.apply(instance("pinned", container(image), nodeName="node-2"))
    served.kubectl("patch", "chnode", "node-1", "--type=merge", "-p", cordoned(True))
    served.apply(instance("moving", container(image)))
    served.wait("Ready", "pinned", "moving")
    served.kubectl("patch", "chnode", "node-1", "--type=merge", "-p", cordoned(False))
    process = bed.state.controllers["agent-2"]
    process.kill()
    served.kubectl("wait", "chnode/node-2", "--for=condition=Ready=Unknown", "--timeout=100s")
    served.wait("jsonpath={.status.nodeName}=node-1", "moving")
    served.wait("Ready", "moving")
    served.kubectl("delete", "chinst", "pinned", "-n", served.namespace, "--wait=false")
    served.kubectl("delete", "lease", "node-node-2", "-n", NAMESPACE)
    served.kubectl("delete", "chnode", "node-2")
    served.wait("delete", "pinned")


def cordoned(value: bool) -> str:
    return json.dumps({"spec": {"unschedulable": value}})


def secret(name: str, data: dict[str, str], kind: str = "Opaque") -> Object:
    meta = {"name": name, "labels": USE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": kind, "data": data}


def without_pods(text: str) -> str:
    """The manifests without what would run pods."""
    pods = ("Deployment", "DaemonSet", "Job", "Pod")
    kept = [
        part
        for part in text.split("\n---\n")
        if not any(f"\nkind: {kind}\n" in f"\n{part}" for kind in pods)
    ]
    return "\n---\n".join(kept)


def _text(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
