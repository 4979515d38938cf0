"""How an agent on a host that is no node of the cluster gets a token that names its node."""

import json

from hack.bed.kubeconfig import Kubectl


def test_a_token_bound_to_a_node_object_names_it(kubectl: Kubectl, namespace: str) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": namespace}}
    kubectl("apply", "-f", "-", input=json.dumps(node | {"spec": {"unschedulable": True}}))
    kubectl("create", "serviceaccount", "agent", "-n", namespace)
    bound = ("--bound-object-kind=Node", f"--bound-object-name={namespace}")

    token = kubectl("create", "token", "agent", "-n", namespace, *bound).stdout.strip()

    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token},
    }
    answer = kubectl("create", "-f", "-", "-o", "json", input=json.dumps(review)).stdout
    kubectl("delete", "node", namespace)
    extra = json.loads(answer)["status"]["user"]["extra"]
    assert extra["authentication.kubernetes.io/node-name"] == [namespace]
