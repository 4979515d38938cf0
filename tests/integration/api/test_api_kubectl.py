"""The kinds as people meet them: kubectl's columns, short names, explanations and selectors."""

import json
from typing import Any

import yaml

from hack.bed.kubeconfig import Kubectl
from tests.api.manifests import MANIFESTS, UNSET, Manifest, changed, manifest
from tests.integration.api.conftest import Api

SMALLEST = """
apiVersion: challenge-controller.io/v1alpha1
kind: ChallengeInstance
metadata: {name: smallest}
spec:
  template:
    containers:
    - name: web
      image: web
      ports: [{containerPort: 80}]
      readinessProbe: {httpGet: {port: 80}}
    volumes:
    - name: tmp
      emptyDir: {}
    - name: files
      configMap: {name: files}
"""


def test_defaults(api: Api) -> None:
    found = api.defaulted(yaml.safe_load(SMALLEST))

    assert found["status"] == {"observedGeneration": -1}
    assert found["spec"] == {
        "suspended": False,
        "onExpiry": "Delete",
        "template": {
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 5,
            "network": {"egress": "None"},
            "volumes": [
                {"name": "tmp", "emptyDir": {"medium": ""}},
                {"name": "files", "configMap": {"name": "files", "defaultMode": 420}},
            ],
            "containers": [
                {
                    "name": "web",
                    "image": "web",
                    "imagePullPolicy": "IfNotPresent",
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "resources": {"limits": {}},
                    "readinessProbe": {
                        "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
                        "initialDelaySeconds": 0,
                        "periodSeconds": 10,
                        "timeoutSeconds": 1,
                        "successThreshold": 1,
                        "failureThreshold": 3,
                    },
                    "securityContext": {
                        "capabilities": {},
                        "readOnlyRootFilesystem": False,
                    },
                    "mountFlag": False,
                    "init": False,
                }
            ],
        },
    }


def test_defaults_of_the_other_kinds(api: Api) -> None:
    head = {"apiVersion": "challenge-controller.io/v1alpha1", "metadata": {"name": "it"}}
    containers = [{"name": "web", "image": "web"}]
    specs: dict[str, Manifest] = {
        "Challenge": {"template": {"containers": containers}},
        "ChallengePool": {"challengeRef": {"name": "baby"}, "seeds": ["1"]},
        "ChallengeNode": {},
    }

    found = {
        kind: api.defaulted({**head, "kind": kind, "spec": spec}) for kind, spec in specs.items()
    }

    assert {json.dumps(body["status"]) for body in found.values()} == {'{"observedGeneration": -1}'}
    del found["Challenge"]["spec"]["template"]
    assert {kind: body["spec"] for kind, body in found.items()} == {
        "Challenge": {"nodeLossPolicy": "Reschedule", "prePull": False, "ttl": {}},
        "ChallengePool": {
            "challengeRef": {"name": "baby"},
            "seeds": ["1"],
            "replicas": 1,
            "instanceTemplate": {"metadata": {}, "spec": {}},
            "updateStrategy": {"maxUnavailable": 0, "maxSurge": 1},
        },
        "ChallengeNode": {"unschedulable": False},
    }


def test_columns(api: Api, kubectl: Kubectl, shared_namespace: str) -> None:
    _keep(api, "instance", "challenge", "pool", "node")

    # Unlike a kind, a category is not looked for again when kubectl's cache is older than the CRDs.
    kubectl("api-resources", "--api-group=challenge-controller.io")
    printed = kubectl("get", "challenges", "-n", shared_namespace).stdout
    instance = kubectl("get", "chinst", "-n", shared_namespace).stdout
    node = kubectl("get", "chnode").stdout

    assert "challengeinstance.challenge-controller.io/it" in printed
    assert "challenge.challenge-controller.io/it" in printed
    assert "challengepool.challenge-controller.io/it" in printed
    assert _table(instance) == [
        ["NAME", "READY", "REASON", "NODE", "ADDRESS", "AGE"],
        ["it", "False", "ProbeFailing", "node-1", "ctf.example.org:10000"],
    ]
    assert _table(node)[1] == [
        "it",
        "False",
        "ProbeFailing",
        *["5/200", "10/19990", "2+7", "Ports"],
        "203.0.113.7",
        "0.1.0",
    ]
    assert kubectl("get", "chal,chpool", "-n", shared_namespace, "-o", "name").stdout.split() == [
        "challenge.challenge-controller.io/it",
        "challengepool.challenge-controller.io/it",
    ]


def test_explain(kubectl: Kubectl) -> None:
    tree = kubectl("explain", "chinst.spec.template.containers", "--recursive").stdout
    port = kubectl("explain", "chinst.spec.template.containers.ports.containerPort").stdout

    for field in ("mountFlag", "readinessProbe", "ephemeral-storage", "seccompProfile", "hard"):
        assert field in tree
    assert "The instance's containers, 1 to 10." in tree
    assert "The port that the program in the container listens on, 1 to 65535." in port


def test_field_selectors(api: Api, kubectl: Kubectl, shared_namespace: str) -> None:
    _keep(api, "instance")
    assert api.create(manifest("inline", **{"metadata.name": "other"}), keep=True) == []

    def names(selector: str) -> list[str]:
        found = kubectl(
            "get", "chinst", "-n", shared_namespace, "-o", "name", "--field-selector", selector
        )
        return [line.partition("/")[2] for line in found.stdout.split()]

    assert names("status.nodeName=node-1") == ["it"]
    assert names("status.nodeName=") == ["other"]
    assert names("status.nodeName=node-2") == []
    assert names("spec.challengeRef.name=baby") == ["it"]


def test_scale(api: Api, kubectl: Kubectl, shared_namespace: str) -> None:
    _keep(api, "pool")

    kubectl("scale", "chpool", "it", "--replicas=7", "-n", shared_namespace)

    path = "/apis/challenge-controller.io/v1alpha1/namespaces"
    scale = json.loads(
        kubectl("get", "--raw", f"{path}/{shared_namespace}/challengepools/it/scale").stdout
    )
    assert scale["spec"] == {"replicas": 7}
    assert scale["status"] == {"replicas": 3, "selector": "challenge-controller.io/pool=it"}
    assert api.get(MANIFESTS["pool"])["spec"]["replicas"] == 7


def test_removed_and_added_again(kubectl: Kubectl, shared_namespace: str) -> None:
    with_user, without = MANIFESTS["instance"], manifest("instance", **{"spec.user": UNSET})
    applied = [_apply(kubectl, shared_namespace, body) for body in (with_user, without)]
    kubectl("delete", "chinst", "it", "-n", shared_namespace)
    applied += [_apply(kubectl, shared_namespace, body) for body in (without, with_user)]
    kubectl("delete", "chinst", "it", "-n", shared_namespace)

    refused = (
        1,
        'The ChallengeInstance "it" is invalid: spec.user: Invalid value: user is immutable: '
        "delete the instance and create another one\n",
    )
    outcomes = [(done.returncode, done.stderr) for done in applied]
    assert outcomes == [(0, ""), refused, (0, ""), refused]


def test_unknown_field(api: Api, kubectl: Kubectl, shared_namespace: str) -> None:
    wrong = changed(yaml.safe_load(SMALLEST), {"spec.template.hostNetwork": True})

    refused = _apply(kubectl, shared_namespace, wrong)

    assert refused.returncode == 1
    assert 'strict decoding error: unknown field "spec.template.hostNetwork"' in refused.stderr
    assert _apply(kubectl, shared_namespace, yaml.safe_load(SMALLEST)).returncode == 0
    kubectl("delete", "chinst", "smallest", "-n", shared_namespace)


def test_status_cannot_be_set_with_the_spec(api: Api) -> None:
    assert api.create(MANIFESTS["instance"], keep=True) == []

    assert api.get(MANIFESTS["instance"])["status"] == {"observedGeneration": -1}


def _keep(api: Api, *bases: str) -> None:
    for base in bases:
        assert api.create(MANIFESTS[base], keep=True) == []
        assert api.update(MANIFESTS[base], subresource="status", keep=True) == []


def _apply(kubectl: Kubectl, namespace: str, body: Manifest) -> Any:
    return kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(body), check=False)


def _table(printed: str) -> list[list[str]]:
    """Return the words of each line, without the age, which changes."""
    head, *rows = [line.split() for line in printed.splitlines()]
    return [head, *(row[:-1] for row in rows)]
