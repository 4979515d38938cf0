"""The fleet's agents with the rights of production: what becomes of them when their tokens end."""

from pathlib import Path
from typing import Any

import requests
import yaml

from hack.bed import accounts
from hack.bed.bed import Bed
from tests.integration.world import container, instance, until
from tests.nodes.nodes import Nodes


def test_an_agent_goes_on_with_the_token_that_follows(nodes: Nodes, echo_image: str) -> None:
    bed = nodes.bed
    before = token(bed, "agent-2")
    accounts.renew_agent_token(bed.control_plane, bed.kubectl, "agent-2", "node-2")
    assert token(bed, "agent-2") != before
    # The API server may know a token for 10 s before it asks again for the pod.
    until(lambda: status(bed, before) == 401)
    assert status(bed, token(bed, "agent-2")) == 200
    # Its watch lasts as long as its connection; then it has to log in again.
    nodes.restart_apiserver()
    nodes.apply(instance("after", container(echo_image), nodeName="node-2"))
    nodes.wait("Ready", "after")
    nodes.assert_all_answer("after")


def test_agents_and_manager_are_no_administrators(nodes: Nodes) -> None:
    bed = nodes.bed
    for number in nodes.fleet.numbers:
        user = whoami(bed, token(bed, f"agent-{number}"))
        assert user["username"] == "system:serviceaccount:challenge-system:challenge-agent"
        assert user["extra"]["authentication.kubernetes.io/node-name"] == [f"node-{number}"]
        assert_uses(bed, f"agent-{number}")
    manager = whoami(bed, token(bed, "manager"))
    assert manager["username"] == "system:serviceaccount:challenge-system:challenge-manager"
    assert_uses(bed, "manager")


def assert_uses(bed: Bed, name: str) -> None:
    """The process of this name has the kubeconfig with its own token, and only that."""
    environment = Path(f"/proc/{bed.state.controllers[name].pid}/environ").read_text()
    kubeconfig = bed.control_plane.state.folder / f"{name}.kubeconfig"
    assert f"CHALLENGE_KUBECONFIG={kubeconfig}\0" in environment
    (user,) = yaml.safe_load(kubeconfig.read_text())["users"]
    assert user["user"] == {"tokenFile": str(kubeconfig.with_suffix(".token"))}


def token(bed: Bed, name: str) -> str:
    return (bed.control_plane.state.folder / f"{name}.token").read_text()


def status(bed: Bed, token: str) -> int:
    """What the API server answers one who bears this token."""
    return ask(bed, token, "GET", "/api").status_code


def whoami(bed: Bed, token: str) -> dict[str, Any]:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = ask(bed, token, "POST", path, review)
    found: dict[str, Any] = answer.json()["status"]["userInfo"]
    return found


def ask(
    bed: Bed, token: str, method: str, path: str, body: dict[str, str] | None = None
) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.request(
            method,
            bed.control_plane.server + path,
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            verify=str(bed.control_plane.authority),
            timeout=60,
        )
