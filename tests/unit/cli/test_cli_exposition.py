"""All that is exposed: a whole that Prometheus reads, with few series, and nobody's name in it."""

import json
import re
import warnings
from typing import Final

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from controller import metrics
from controller.agent.metrics import NodeMetrics
from controller.api import reasons
from controller.callmetrics import ApiMetrics, EngineMetrics
from controller.cluster import calls as api
from controller.manager.metrics import ManagerMetrics
from controller.reconcile.metrics import LaunchMetrics
from controller.runtime import calls as engine
from hack.bed.cache import REPOSITORY

LABELS: Final = {
    "call",
    "cause",
    "kind",
    "le",
    "reason",
    "resource",
    "result",
    "stage",
    "state",
    "verb",
    "work",
}
"""All there are; each has a set of values that the code lays down."""
NAMESPACE: Final = "/apis/challenge-controller.io/v1alpha1/namespaces/team-a"
PATHS: Final = [
    ("GET", f"{NAMESPACE}/challengeinstances/web-1", "get", "challengeinstances"),
    ("GET", f"{NAMESPACE}/challengeinstances", "list", "challengeinstances"),
    ("PUT", f"{NAMESPACE}/challengeinstances/web-1/status", "update", "challengeinstances/status"),
    ("PATCH", f"{NAMESPACE}/challengeinstances/web-1", "patch", "challengeinstances"),
    ("DELETE", f"{NAMESPACE}/challengepools/web", "delete", "challengepools"),
    ("GET", "/apis/challenge-controller.io/v1alpha1/challengenodes/n1", "get", "challengenodes"),
    ("GET", "/apis/challenge-controller.io/v1alpha1/challenges", "list", "challenges"),
    ("GET", "/api/v1/namespaces/kube-system", "get", "namespaces"),
    ("GET", "/api/v1/namespaces/team-a/secrets/flag", "get", "secrets"),
    ("POST", "/api/v1/namespaces/team-a/events", "create", "events"),
    ("PUT", "/apis/coordination.k8s.io/v1/namespaces/s/leases/node-a", "update", "leases"),
    ("GET", "/apis/challenge-controller.io/v1alpha1", "get", "other"),
    ("GET", "/apis", "get", "other"),
    ("GET", "/version", "get", "other"),
    ("GET", "/", "get", "other"),
    ("GET", "/apis/x/v1/namespaces/team-a/surprises/a", "get", "other"),
    ("POST", f"{NAMESPACE}/challenges/web/surprise", "create", "other"),
]
REQUESTS: Final = [
    ("GET", "/_ping", "ping"),
    ("GET", "/v1.41/info", "info"),
    ("GET", "/version", "version"),
    ("GET", "/v1.41/events", "events"),
    ("POST", "/v1.41/containers/create", "container_create"),
    ("POST", "/v1.41/containers/chal-1-web/start", "container_start"),
    ("GET", "/v1.41/containers/chal-1-web/json", "container_inspect"),
    ("GET", "/v1.41/containers/json", "container_list"),
    ("DELETE", "/v1.41/containers/chal-1-web", "container_remove"),
    ("POST", "/v1.41/containers/x/exec", "container_exec"),
    ("PUT", "/v1.41/containers/x/archive", "container_archive"),
    ("POST", "/v1.41/exec/abc/start", "exec_start"),
    ("GET", "/v1.41/exec/abc/json", "exec_inspect"),
    ("GET", "/v1.41/networks", "network_list"),
    ("GET", "/v1.41/networks/chal-own", "network_inspect"),
    ("POST", "/v1.41/networks/create", "network_create"),
    ("DELETE", "/v1.41/networks/chal-own", "network_remove"),
    ("GET", "/v1.41/volumes", "volume_list"),
    ("DELETE", "/v1.41/volumes/v", "volume_remove"),
    ("GET", "/v1.41/images/registry.example.org/ctf/web:1/json", "image_inspect"),
    ("POST", "/v1.41/images/create", "image_create"),
    ("GET", "/v1.41/surprise/x", "other"),
    ("POST", "/v1.41/containers/x/surprise", "other"),
    ("GET", "/", "other"),
    ("GET", "", "other"),
]


@pytest.fixture
def registry() -> CollectorRegistry:
    """All metrics of a process of both roles, with something in each that grows."""
    made = metrics.registry()
    launches, calls, requests = LaunchMetrics(made), EngineMetrics(made), ApiMetrics(made)
    NodeMetrics(made)
    ManagerMetrics(made).acting(lambda: 3, lambda state: 1)
    launches.launched(0.4)
    launches.launch_failed(reasons.NETWORK_EXHAUSTED)
    launches.ready(2.0)
    for method, path, *_ in PATHS:
        requests.observe(*api.kind_of(method, path), "ok", 0.01)
    for method, path, _ in REQUESTS:
        calls.observe(engine.kind_of(method, path), "refused", 0.2)
    return made


@pytest.mark.parametrize(("method", "path", "verb", "resource"), PATHS)
def test_a_request_to_the_api_server_is_told_by_verb_and_resource(
    method: str, path: str, verb: str, resource: str
) -> None:
    assert api.kind_of(method, path) == (verb, resource)
    if verb == "list":
        assert api.kind_of(method, path, watch=True) == ("watch", resource)


@pytest.mark.parametrize(("method", "path", "call"), REQUESTS)
def test_a_request_to_the_engine_is_told_by_what_it_does(method: str, path: str, call: str) -> None:
    assert engine.kind_of(method, path) == call


def families(registry: CollectorRegistry) -> list[Metric]:
    """All of it as Prometheus reads it, in both of its formats; a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # prometheus_client has no types for its second format.
        text = openmetrics.generate_latest(registry).decode()  # type: ignore[no-untyped-call]
        read = openmetrics_parser.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        again = list(read)
        found = list(text_string_to_metric_families(generate_latest(registry).decode()))
    assert {f.name for f in again} == {f.name.removesuffix("_total") for f in found}
    return found


def test_prometheus_reads_the_whole_and_finds_each_described_once(
    registry: CollectorRegistry,
) -> None:
    found = families(registry)
    names = [family.name for family in found]
    assert len(set(names)) == len(names)
    for family in found:
        assert family.documentation
        assert family.samples, family.name
        assert family.name.startswith(("challenge_", "process_"))
        assert family.type in ("counter", "gauge", "histogram"), family.name
        if family.type == "histogram":
            assert family.name.endswith("_seconds")


def test_no_label_is_a_name_and_there_are_few_series(registry: CollectorRegistry) -> None:
    found = families(registry)
    samples = [sample for family in found for sample in family.samples]
    assert {label for sample in samples for label in sample.labels} <= LABELS
    values = {value for sample in samples for value in sample.labels.values()}
    for name in ("team-a", "web-1", "web", "flag", "chal-1-web", "chal-own", "n1", "node-a", "abc"):
        assert name not in values
    assert len(samples) < 1500, "of a process that has made every call there is"


def test_the_dashboard_shows_every_metric_of_ours_and_none_that_is_not_there(
    registry: CollectorRegistry,
) -> None:
    dashboard = json.loads((REPOSITORY / "docs" / "grafana-dashboard.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    queries = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    asked = set(re.findall(r"\b(?:challenge|process)_[a-z_]+", queries))
    names = {sample.name for family in families(registry) for sample in family.samples}
    assert asked <= names
    ours = {name for name in names if name.startswith("challenge_")}
    shown = {name.removesuffix("_bucket") for name in asked}
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in ours} <= shown
    for words in re.findall(r"by \(([a-z, ]+)\)", queries):
        assert set(words.split(", ")) <= LABELS
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
