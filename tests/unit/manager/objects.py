"""Nodes, Leases and instances as the manager reads them."""

from datetime import UTC, datetime
from typing import Any

from controller.api.instance import ChallengeInstance
from controller.cluster.client import Object
from controller.cluster.lease import micro_time

NAMESPACE = "challenge-system"


def template(ports: int = 1, memory: str = "") -> dict[str, Any]:
    numbers = [{"containerPort": 80 + number} for number in range(ports)]
    container: dict[str, Any] = {"name": "web", "image": "img:1", "ports": numbers}
    if memory:
        container["resources"] = {"limits": {"memory": memory}}
    return {"containers": [container]}


def instance_body(
    name: str,
    *,
    user: str = "",
    spec: dict[str, Any] | None = None,
    status: dict[str, Any] | None = None,
    **meta: Any,
) -> Object:
    wanted: dict[str, Any] = {"template": template()} | (spec or {})
    if user:
        wanted["user"] = user
    if "challengeRef" in wanted:
        del wanted["template"]
    body = {"name": name, "namespace": "team", "uid": f"uid-{name}", "generation": 1} | meta
    return {"metadata": body, "spec": wanted, "status": status or {}}


def instance(name: str, **rest: Any) -> ChallengeInstance:
    return ChallengeInstance.model_validate(instance_body(name, **rest))


def condition(kind: str, value: str, reason: str = "Testing") -> dict[str, str]:
    return {
        "type": kind,
        "status": value,
        "reason": reason,
        "message": "",
        "lastTransitionTime": "2026-01-31T12:00:00Z",
    }


def node_body(
    name: str,
    *,
    ready: str = "True",
    reason: str = "Ready",
    instances: int = 100,
    ports: int = 100,
    memory: int | None = None,
    labels: dict[str, str] | None = None,
    **spec: Any,
) -> Object:
    has = {"instances": instances, "ports": ports}
    if memory is not None:
        has["memory"] = memory
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": labels or {}},
        "spec": spec,
        "status": {
            "conditions": [condition("Ready", ready, reason)],
            "allocatable": has,
        },
    }


def lease_body(
    name: str, renewed: str | None = None, duration: int = 40, prefix: str = "node-"
) -> Object:
    return {
        "metadata": {"name": f"{prefix}{name}", "namespace": NAMESPACE},
        "spec": {
            "holderIdentity": "engine",
            "leaseDurationSeconds": duration,
            "renewTime": renewed or micro_time(datetime.now(UTC)),
        },
    }


def pool_body(
    name: str = "web",
    *,
    seeds: tuple[str, ...] = ("1", "2"),
    replicas: int = 2,
    surge: int = 1,
    unavailable: int = 0,
    template: dict[str, Any] | None = None,
    **meta: Any,
) -> Object:
    return {
        "metadata": {"name": name, "namespace": "team", "uid": f"uid-{name}", "generation": 1}
        | meta,
        "spec": {
            "challengeRef": {"name": "echo"},
            "seeds": list(seeds),
            "replicas": replicas,
            "instanceTemplate": template or {},
            "updateStrategy": {"maxSurge": surge, "maxUnavailable": unavailable},
        },
        "status": {"observedGeneration": -1},
    }


def challenge_body(name: str = "echo", *, image: str = "img:1", **spec: Any) -> Object:
    wanted = template()
    wanted["containers"][0]["image"] = image
    return {"metadata": {"name": name, "namespace": "team"}, "spec": {"template": wanted} | spec}
