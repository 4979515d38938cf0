"""values.schema.json of the chart: what `helm install` checks values by.

Types and descriptions come from values.yaml, those of `settings` from the settings' model, what is
Kubernetes' own from `kubernetes`; only what these do not say is said here.
"""

import json
from typing import Any, Final

from hack.chart import kubernetes, settings
from hack.chart.values import Value, read

Schema = dict[str, Any]

NAME: Final = {"type": "string", "maxLength": 63, "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"}
NAMESPACE: Final = NAME | {"minLength": 1}
FOLDER: Final = {"type": "string", "pattern": "^/[^:]*[^:/]$"}
PORT: Final = {"type": "integer", "minimum": 1, "maximum": 65535}
SECONDS: Final = {"type": "integer", "minimum": 1, "maximum": 86_400}

SAID: Final[dict[str, Schema]] = {
    "installation": {
        "type": "string",
        "maxLength": 40,
        "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    },
    "nameOverride": NAME,
    "fullnameOverride": NAME,
    "commonLabels": kubernetes.LABELS,
    # Without a tag: that has a value of its own.
    "image.repository": {
        "type": "string",
        "pattern": "^([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9._-]+(/[a-z0-9._-]+)*$",
    },
    "image.tag": {"type": "string", "pattern": "^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$"},
    "image.digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "imagePullSecrets": kubernetes.PULL_SECRETS,
    "instances.namespaces": {
        "type": "array",
        "uniqueItems": True,
        "anyOf": [{"items": NAMESPACE}, {"maxItems": 1, "items": {"const": "*"}}],
    },
    "manager.replicas": {"type": "integer", "minimum": 1, "maximum": 2},
    "agent.stateDir": {"anyOf": [FOLDER, {"const": ""}]},
    "agent.docker.socketDir": FOLDER,
    "agent.docker.socketName": {"type": "string", "pattern": "^[^/]+$"},
    "agent.docker.dataRoot": {"anyOf": [FOLDER, {"const": ""}]},
    "agent.docker.mountPropagation": {"enum": ["HostToContainer", "None"]},
    "agent.seccompProfiles": {
        "type": "object",
        "patternProperties": {"^[a-zA-Z0-9][a-zA-Z0-9._-]*$": kubernetes.TEXT},
        "additionalProperties": False,
    },
    "agent.maxUnavailable": {
        "anyOf": [
            {"type": "integer", "minimum": 1},
            {"type": "string", "pattern": "^[1-9][0-9]?%$|^100%$"},
        ]
    },
    "podMonitor.labels": kubernetes.LABELS,
    "podMonitor.interval": {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"},
    "networkPolicy.apiServerPorts": {"type": "array", "minItems": 1, "items": PORT},
    "networkPolicy.metricsFrom": kubernetes.POLICY_PEERS,
    "uninstall.timeoutSeconds": SECONDS,
    "testInstance.image": {
        "type": "string",
        "maxLength": 512,
        "pattern": "^[a-zA-Z0-9][a-zA-Z0-9._:/@-]*$",
    },
    "testInstance.port": PORT,
    "testInstance.protocol": {"enum": ["http", "tcp"]},
    "testInstance.timeoutSeconds": SECONDS,
}
OF_BOTH: Final[dict[str, Schema]] = {
    "metricsPort": PORT,
    "resources": kubernetes.RESOURCES,
    "nodeSelector": kubernetes.LABELS,
    "tolerations": kubernetes.TOLERATIONS,
    "affinity": kubernetes.AFFINITY,
    "topologySpreadConstraints": kubernetes.SPREAD,
    "priorityClassName": kubernetes.OBJECT_NAME_OR_NONE,
    "terminationGracePeriodSeconds": SECONDS,
    "seLinuxOptions": kubernetes.SE_LINUX,
    "podAnnotations": kubernetes.ANNOTATIONS,
    "podLabels": kubernetes.LABELS,
    "serviceAccount.name": NAME,
    "serviceAccount.annotations": kubernetes.ANNOTATIONS,
}


def text() -> str:
    """Return the file's text."""
    root: Schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart challenge-controller",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "global": {"type": "object"}
            | {"description": "What a parent chart shares; nothing here reads it."}
        },
    }
    for value in read():
        _put(root, value)
    return json.dumps(root, indent=2) + "\n"


def _put(root: Schema, value: Value) -> None:
    *above, last = value.path.split(".")
    parent = root
    for key in above:
        parent = parent["properties"].setdefault(
            key, {"type": "object", "additionalProperties": False, "properties": {}}
        )
    parent["properties"][last] = _schema(value)


def _schema(value: Value) -> Schema:
    role, _, name = value.path.partition(".")
    if value.path == "settings":
        found = settings.schema()
    elif name == "settings":
        found = settings.schema(role)
    else:
        of_role = OF_BOTH.get(name) if role in ("agent", "manager") else None
        found = SAID.get(value.path) or of_role or _inferred(value)
    return {"description": value.description} | found


def _inferred(value: Value) -> Schema:
    match value.default:
        case bool():
            return {"type": "boolean"}
        case str():
            return {"type": "string"}
        case _:
            raise ValueError(f"hack/chart/schema.py: say what {value.path} may be")
