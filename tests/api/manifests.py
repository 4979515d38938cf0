"""Manifests for the tests of the API: each one says everything that its kind can say, validly."""

import copy
import re
from typing import Any

from controller.api.meta import API_VERSION

Manifest = dict[str, Any]

UNSET = object()
"""As a value: take the field away."""

TEMPLATE: Manifest = {
    "containers": [
        {
            "name": "web",
            "image": "registry.example.org:5000/pwn/baby:1",
            "imagePullPolicy": "IfNotPresent",
            "command": ["/serve"],
            "args": ["--http", ":8080"],
            "workingDir": "/srv",
            "env": [
                {"name": "PLAIN", "value": "text"},
                {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "CONFIG", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
                {"name": "UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
            ],
            "ports": [
                {"name": "http", "containerPort": 8080, "protocol": "TCP", "appProtocol": "http"},
                {"containerPort": 9000},
            ],
            "resources": {
                "limits": {"cpu": "500m", "memory": "64Mi", "pids": 50, "ephemeral-storage": "1Gi"}
            },
            "readinessProbe": {
                "httpGet": {
                    "path": "/identity",
                    "port": "http",
                    "scheme": "HTTP",
                    "httpHeaders": [{"name": "X-Probe", "value": "1"}],
                },
                "initialDelaySeconds": 0,
                "periodSeconds": 1,
                "timeoutSeconds": 1,
                "successThreshold": 1,
                "failureThreshold": 3,
            },
            "securityContext": {
                "runAsUser": 1000,
                "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"add": ["LINUX_IMMUTABLE"], "drop": ["ALL"]},
                "seccompProfile": {"type": "Localhost", "localhostProfile": "strict.json"},
            },
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp", "readOnly": False}],
            "mountFlag": True,
            "flagMode": 256,
            "flagEnv": "FLAG",
            "init": True,
            "ulimits": [{"name": "nofile", "soft": 1024, "hard": 4096}],
            "cgroupParent": "finals",
        },
        {
            "name": "db",
            "image": "db",
            "ports": [{"name": "sql", "containerPort": 5432}],
            "readinessProbe": {"tcpSocket": {"port": 5432}},
        },
        {"name": "job", "image": "job", "readinessProbe": {"exec": {"command": ["true"]}}},
    ],
    "volumes": [
        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi", "medium": "Memory"}},
        {
            "name": "files",
            "configMap": {
                "name": "files",
                "items": [{"key": "index.html", "path": "www/index.html", "mode": 420}],
                "defaultMode": 420,
            },
        },
    ],
    "restartPolicy": "OnFailure",
    "imagePullSecrets": [{"name": "registry"}],
    "terminationGracePeriodSeconds": 2,
    "network": {"egress": "Internet"},
}

CONDITION: Manifest = {
    "type": "Ready",
    "status": "False",
    "reason": "ProbeFailing",
    "message": "connect to 172.20.0.2:8080: connection refused",
    "lastTransitionTime": "2026-01-31T12:00:00Z",
    "observedGeneration": 1,
}

_INSTANCE_SPEC: Manifest = {
    "user": "4711",
    "seed": "42",
    "env": [{"name": "TEAM", "value": "blue"}],
    "flagSecretRef": {"name": "flag", "key": "flag"},
    "nodeName": "node-1",
    "nodeSelector": {"example.org/disk": "fast", "gpu": "none"},
    "ttl": "45m",
    "renewTime": "2026-01-31T12:00:00Z",
    "suspended": False,
    "onExpiry": "Delete",
}


def _object(kind: str, spec: Manifest, status: Manifest | None = None) -> Manifest:
    body = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "it"}, "spec": spec}
    return body | ({"status": status} if status else {})


MANIFESTS: dict[str, Manifest] = {
    "inline": _object("ChallengeInstance", {"template": TEMPLATE} | _INSTANCE_SPEC),
    "instance": _object(
        "ChallengeInstance",
        {"challengeRef": {"name": "baby"}} | _INSTANCE_SPEC,
        {
            "observedGeneration": 1,
            "nodeName": "node-1",
            "template": TEMPLATE,
            "policy": {
                "ttl": {"default": "1h", "maximum": "4h"},
                "maxLifetime": "8h",
                "nodeLossPolicy": "Wait",
            },
            "address": "ctf.example.org",
            "ports": [
                {
                    "name": "http",
                    "containerName": "web",
                    "containerPort": 8080,
                    "hostPort": 10000,
                    "protocol": "TCP",
                    "endpoint": "ctf.example.org:10000",
                }
            ],
            "containers": [
                {
                    "name": "web",
                    "image": "web",
                    "imageID": "sha256:0",
                    "state": "Terminated",
                    "ready": False,
                    "restartCount": 3,
                    "exitCode": 137,
                    "reason": "OOMKilled",
                    "message": "killed",
                    "startedAt": "2026-01-31T12:00:00Z",
                }
            ],
            "startTime": "2026-01-31T12:00:00Z",
            "readyTime": "2026-01-31T12:00:01Z",
            "expirationTime": "2026-01-31T13:00:01Z",
            "poolUID": "0f6a1c1e-3a5e-4b7a-9d52-5d3c1b0e8a77",
            "conditions": [CONDITION],
        },
    ),
    "challenge": _object(
        "Challenge",
        {
            "template": TEMPLATE,
            "ttl": {"default": "1h", "maximum": "4h"},
            "maxLifetime": "8h",
            "nodeLossPolicy": "Wait",
            "prePull": True,
        },
        {
            "observedGeneration": 1,
            "instances": 2,
            "prePulled": "2/3 nodes",
            "conditions": [CONDITION],
        },
    ),
    "pool": _object(
        "ChallengePool",
        {
            "challengeRef": {"name": "baby"},
            "seeds": ["1", "2"],
            "replicas": 3,
            "instanceTemplate": {
                "metadata": {"labels": {"event": "finals"}, "annotations": {"note": "by hand"}},
                "spec": {
                    "env": [{"name": "TEAM", "value": "blue"}],
                    "flagSecretRef": {"name": "flag", "key": "flag"},
                    "nodeSelector": {"disk": "fast"},
                },
            },
            "updateStrategy": {"maxUnavailable": 1, "maxSurge": 1},
        },
        {
            "observedGeneration": 1,
            "replicas": 3,
            "instances": 6,
            "readyInstances": 5,
            "selector": "challenge-controller.io/pool=it",
            "conditions": [CONDITION],
        },
    ),
    "node": _object(
        "ChallengeNode",
        {
            "unschedulable": True,
            "drain": "Managed",
            "launchConcurrency": 4,
            "portRange": "10000-29999",
            "maxInstances": 200,
            "publicAddress": "203.0.113.7",
        },
        {
            "observedGeneration": 1,
            "address": "203.0.113.7",
            "engine": {"id": "ABCD:EFGH", "version": "27.1.1"},
            "portRange": "10000-29999",
            "version": "0.1.0",
            "namespaces": ["ctf"],
            "controllerNamespace": "challenge-system",
            "capacity": {"instances": 200, "ports": 20000, "networks": 2048, "memory": 8589934592},
            "allocatable": {
                "instances": 200,
                "ports": 19990,
                "networks": 2048,
                "memory": 8589934592,
            },
            "allocated": {"instances": 5, "ports": 10, "networks": 1, "memory": 536870912},
            "launch": {"launching": 2, "waiting": 7},
            "orphans": {
                "instances": 8,
                "ports": 16,
                "memory": 1073741824,
                "since": "2026-07-01T18:00:00Z",
                "until": "2026-07-01T18:10:00Z",
            },
            "images": ["registry.example.org/pwn/baby:1"],
            "summary": {
                "instances": "5/200",
                "ports": "10/19990",
                "memory": "0.5/8.0Gi",
                "launches": "2+7",
                "pressure": "Ports",
            },
            "conditions": [CONDITION],
        },
    ),
}


def manifest(base: str, **changes: Any) -> Manifest:
    """Return a copy of a manifest with fields changed: `{"spec.ttl": "1h"}` as `changed` takes."""
    return changed(MANIFESTS[base], changes)


def changed(body: Manifest, changes: dict[str, Any]) -> Manifest:
    """Return a copy with the fields at paths such as `spec.ports[0].name` set, or taken away."""
    body = copy.deepcopy(body)
    for path, value in changes.items():
        _set(body, parse_path(path), value)
    return body


def parse_path(path: str) -> list[str | int]:
    """Split a path at dots and brackets."""
    steps: list[str | int] = []
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        steps.append(int(index) if index else name)
    return steps


def _set(body: Any, steps: list[str | int], value: Any) -> None:
    *parents, last = steps
    for step in parents:
        if isinstance(body, dict) and step not in body:
            body[step] = {}
        body = body[step]
    if value is UNSET:
        body.pop(last, None)
    elif isinstance(body, list) and last == len(body):
        body.append(value)
    else:
        body[last] = value
