"""What the chart renders is what the API server takes, whatever is switched on or off."""

import json

import pytest

from hack.bed.kubeconfig import Kubectl
from tests.chart.rendered import FLAGS, Object, pairwise, template
from tests.integration.chart.conftest import MONITORS


@pytest.fixture(scope="module")
def namespaces(kubectl: Kubectl) -> None:
    """What a release expects to be there; and what PodMonitors are."""
    for name in ("team-a", "team-b"):
        kubectl("create", "namespace", name)
    kubectl("apply", "-f", "-", input=json.dumps(MONITORS))
    kubectl("wait", "--for=condition=Established", "crd/podmonitors.monitoring.coreos.com")


@pytest.mark.parametrize("values", pairwise(FLAGS), ids=lambda values: "")
def test_the_api_server_takes_all_of_it(values: Object, namespaces: None, kubectl: Kubectl) -> None:
    words = ("apply", "--dry-run=server", "--validate=strict", "-f", "-")
    done = kubectl(*words, input=template(values), check=False)
    assert done.returncode == 0, done.stderr
    refused = [line for line in done.stderr.splitlines() if "Warning" in line]
    # These are made by an administrator's `create`, here by his `apply`.
    assert [line for line in refused if "last-applied-configuration" not in line] == []
    assert "daemonset.apps/challenge-controller-agent created (server dry run)" in done.stdout
