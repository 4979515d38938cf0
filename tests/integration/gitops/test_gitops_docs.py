"""The examples of docs/gitops.md: they can be read, and the API server takes our own ones."""

import re
from pathlib import Path

import pytest
import yaml

from hack.argocd import FOLDER, ROOT
from hack.bed.kubeconfig import Kubectl

PAGE = ROOT / "docs" / "gitops.md"
EXAMPLES = sorted((ROOT / "docs" / "gitops").rglob("*.yaml"))


def test_every_link_leads_somewhere_and_every_example_is_linked() -> None:
    text = PAGE.read_text()
    links = {PAGE.parent / link for link in re.findall(r"\]\(([^)#]+)\)", text)}
    assert [link for link in links if not link.resolve().exists()] == []
    linked = {link.resolve() for link in links} | {FOLDER / "argocd-cm.yaml"}
    assert [example for example in EXAMPLES if example.resolve() not in linked] == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_whole(example: Path) -> None:
    for manifest in yaml.safe_load_all(example.read_text()):
        assert {"apiVersion", "kind", "metadata"} <= manifest.keys()


def test_the_api_server_takes_the_instance(kubectl: Kubectl, namespace: str) -> None:
    path = ROOT / "docs" / "gitops" / "secrets" / "instance.yaml"
    kubectl("create", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", path)


def test_the_health_checks_can_be_merged_into_argo_cds_config_map(
    kubectl: Kubectl, namespace: str
) -> None:
    kubectl(
        "create", "configmap", "argocd-cm", "-n", namespace, "--from-literal=url=https://x.example"
    )
    fragment = yaml.safe_load((FOLDER / "argocd-cm.yaml").read_text())
    fragment["metadata"]["namespace"] = namespace
    patch = ("--type=merge", "-p", yaml.safe_dump(fragment))
    kubectl("patch", "configmap", "argocd-cm", "-n", namespace, *patch)
    merged = yaml.safe_load(
        kubectl("get", "configmap", "argocd-cm", "-n", namespace, "-o", "yaml").stdout
    )
    assert merged["data"].keys() == {"url", *fragment["data"]}
