"""Objects are read leniently, as the API server sends them, and written as it takes them."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from controller.api.challenge import Challenge
from controller.api.instance import ChallengeInstance, ContainerStatus, InstanceStatus, PortStatus
from controller.api.meta import Resource
from controller.api.node import ChallengeNode
from controller.api.pool import ChallengePool
from tests.api.manifests import MANIFESTS, changed

MODELS: dict[str, type[Resource]] = {
    "inline": ChallengeInstance,
    "instance": ChallengeInstance,
    "challenge": Challenge,
    "pool": ChallengePool,
    "node": ChallengeNode,
}


@pytest.mark.parametrize("base", MODELS)
def test_all_that_is_read_is_written(base: str) -> None:
    written = MODELS[base].parse(MANIFESTS[base]).manifest()

    for section in ("spec", "status"):
        assert _contains(written[section], MANIFESTS[base].get(section, {})) == []


def _contains(got: object, want: object, path: str = "") -> list[str]:
    """Return the paths of what is wanted and not there; defaults may be there beside it."""
    if isinstance(want, dict) and isinstance(got, dict):
        return [p for k, v in want.items() for p in _contains(got.get(k), v, f"{path}.{k}")]
    if isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        pairs = zip(got, want, strict=True)
        return [p for n, (g, w) in enumerate(pairs) for p in _contains(g, w, f"{path}[{n}]")]
    return [] if got == want else [f"{path}: {got!r} is not {want!r}"]


def test_unknown_fields_of_a_newer_version_are_ignored() -> None:
    body = changed(
        MANIFESTS["inline"], {"spec.template.containers[0].newer": 1, "metadata.managedFields": []}
    )

    assert ChallengeInstance.parse(body) == ChallengeInstance.parse(MANIFESTS["inline"])


def test_metadata() -> None:
    instance = ChallengeInstance.parse(
        {
            "metadata": {
                "name": "x",
                "namespace": "ns",
                "uid": "u",
                "resourceVersion": "7",
                "generation": 2,
                "creationTimestamp": "2026-01-31T12:00:00Z",
                "deletionTimestamp": "2026-01-31T13:00:00Z",
                "labels": None,
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "1"},
                    {
                        "apiVersion": "challenge-controller.io/v1alpha1",
                        "kind": "ChallengePool",
                        "name": "p",
                        "uid": "2",
                        "controller": True,
                    },
                ],
            },
            "spec": {"challengeRef": {"name": "baby"}},
            "status": {"poolUID": "2"},
        }
    )

    assert instance.key == "ns/x"
    assert instance.is_deleting
    assert instance.is_pool_managed
    assert instance.metadata.labels == {}
    assert instance.metadata.creation_timestamp == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert instance.status.observed_generation == -1


def test_key_of_a_kind_without_namespaces() -> None:
    node = ChallengeNode.parse({"metadata": {"name": "node-1"}})

    assert (node.key, node.is_deleting, node.spec.unschedulable) == ("node-1", False, False)


def test_numbers_are_quantities_too() -> None:
    body = changed(
        MANIFESTS["inline"], {"spec.template.containers[0].resources.limits": {"cpu": 2}}
    )
    template = ChallengeInstance.parse(body).spec.template

    assert template is not None
    assert template.containers[0].resources.limits.cpu == "2"


def test_unset_fields_are_not_written() -> None:
    status = InstanceStatus(
        observed_generation=1,
        ports=[
            PortStatus(
                name="http",
                container_name="web",
                container_port=80,
                host_port=10000,
                endpoint="a:10000",
            )
        ],
        ready_time=datetime(2026, 1, 31, 12, tzinfo=UTC),
    )

    assert status.manifest() == {
        "observedGeneration": 1,
        "ports": [
            {
                "name": "http",
                "containerName": "web",
                "containerPort": 80,
                "hostPort": 10000,
                "protocol": "TCP",
                "endpoint": "a:10000",
            }
        ],
        "containers": [],
        "readyTime": "2026-01-31T12:00:00Z",
        "conditions": [],
    }


@pytest.mark.parametrize("port", [0, 65536])
def test_bounds_hold_in_python_too(port: int) -> None:
    body = changed(
        MANIFESTS["inline"], {"spec.template.containers[0].ports[0].containerPort": port}
    )

    with pytest.raises(ValidationError, match="containerPort"):
        ChallengeInstance.parse(body)


def test_defaults_are_not_shared() -> None:
    one, two = (ChallengeNode.parse({"metadata": {"name": "n"}}) for _ in range(2))
    pools = [ChallengePool.parse(MANIFESTS["pool"]) for _ in range(2)]

    one.spec.unschedulable = True
    pools[0].spec.update_strategy.max_surge = 9

    assert not two.spec.unschedulable
    assert pools[1].spec.update_strategy.max_surge == 1


def test_long_words_of_an_engine_are_cut() -> None:
    status = ContainerStatus(name="web", image="web", message="x" * 5000)

    assert status.message is not None
    assert len(status.message) == 1024
    assert status.message.endswith("x…")
