"""The instances and Challenges of a run; each container tells whose it is."""

from typing import Any, Final

from controller.api.meta import API_VERSION
from hack.bed.image import IMAGE
from hack.chaosrun.plan import Step

Object = dict[str, Any]

STEP_LABEL: Final = "chaos-step"
"""Tells an instance from another one that had its name."""
CHALLENGES: Final = ("ref", "ref-pair")
"""Shapes that refer to a Challenge of that name."""

_IDENTITY: Final = [
    {"name": "INSTANCE_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
    {"name": "INSTANCE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
]
_PORTS: Final = [
    {"name": "http", "containerPort": 8080, "appProtocol": "http"},
    {"name": "nc", "containerPort": 9000},
]


def instance(step: Step) -> Object:
    """The instance that a step creates."""
    spec: Object = {"ttl": f"{step.ttl}s" if step.ttl else "0", "user": f"user-{step.number % 7}"}
    if step.shape in CHALLENGES:
        spec["challengeRef"] = {"name": step.shape}
    else:
        spec["template"] = template(step.shape)
    if step.value == "retain":
        spec["onExpiry"] = "Retain"
    return {
        "apiVersion": API_VERSION,
        "kind": "ChallengeInstance",
        "metadata": {"name": step.target, "labels": {STEP_LABEL: str(step.number)}},
        "spec": spec,
    }


def challenges() -> list[Object]:
    """The Challenges that instances refer to."""
    return [
        {
            "apiVersion": API_VERSION,
            "kind": "Challenge",
            "metadata": {"name": name},
            "spec": {"template": template(name.removeprefix("ref-"))},
        }
        for name in CHALLENGES
    ]


def template(shape: str) -> Object:
    """One container, or a front with a back, or one with a volume on disk."""
    if shape == "pair":
        front = _container("front", args=["serve", "--upstream", "back:9000"], ports=_PORTS)
        return {"containers": [front, _container("back")]}
    if shape == "volume":
        mounts = [{"name": "data", "mountPath": "/data"}]
        return {
            "containers": [_container("echo", ports=_PORTS, volumeMounts=mounts)],
            "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "1Mi"}}],
        }
    return {"containers": [_container("echo", ports=_PORTS)]}


def _container(name: str, **fields: Any) -> Object:
    limits = {"limits": {"memory": "32Mi"}}
    return {"name": name, "image": IMAGE, "env": _IDENTITY, "resources": limits} | fields
