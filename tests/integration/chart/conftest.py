"""A bed with the rights of the chart; its API server writes down what our accounts ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hack.bed import cluster
from hack.bed.bed import Bed
from hack.bed.controlplane import ControlPlane
from hack.bed.fleet import start_nodes
from hack.bed.image import IMAGE
from hack.bed.kubeconfig import Kubectl
from hack.bed.temporary import temporary_bed

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "userGroups": [f"system:serviceaccounts:{cluster.NAMESPACE}"]},
        {"level": "None"},
    ],
}
"""Of each request of our accounts: who, what, and how it was answered."""
MONITORS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": "podmonitors.monitoring.coreos.com",
        "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
    },
    "spec": {
        "group": "monitoring.coreos.com",
        "names": {"kind": "PodMonitor", "plural": "podmonitors"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
            }
        ],
    },
}
"""As much of the Prometheus operator as it takes to apply a PodMonitor."""


@pytest.fixture(scope="session")
def audit_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the API server writes down what our accounts ask for."""
    return tmp_path_factory.mktemp("audit") / "log"


@pytest.fixture(scope="session")
def bare_bed(audit_log: Path) -> Iterator[Bed]:
    """A control plane with our definitions, and nobody's rights yet."""
    policy = audit_log.with_name("policy.yaml")
    policy.write_text(yaml.safe_dump(POLICY))
    with temporary_bed("chart", own_engines=True) as bed:
        bed.start_servers(
            f"--audit-policy-file={policy}",
            f"--audit-log-path={audit_log}",
            # Who makes an object somebody else's must be allowed to finalize that one.
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
        )
        cluster.prepare(bed.kubectl)
        yield bed


@pytest.fixture(scope="session")
def control_plane(bare_bed: Bed) -> ControlPlane:
    """The control plane of this very bed, whatever bed other tests have."""
    return bare_bed.control_plane


@pytest.fixture(scope="session")
def kubectl(bare_bed: Bed) -> Kubectl:
    """kubectl as the administrator of the bed."""
    return bare_bed.kubectl


@pytest.fixture(scope="session")
def two_nodes(bare_bed: Bed) -> Bed:
    """The same with two nodes, each with an engine and the test image."""
    start_nodes(bare_bed, 2)
    return bare_bed


@pytest.fixture(scope="session")
def echo_image() -> str:
    """The name of the test image, which is on each node."""
    return IMAGE
