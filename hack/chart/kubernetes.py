"""The schema of values that are Kubernetes' own words: parts of pods, labels, quantities.

As far as the API server would say nothing: what it does not know it drops without a word when Helm
installs, so that a toleration with a slip of the pen tolerates nothing. What it does refuse by
itself is left to it.
"""

from typing import Any, Final

from controller.api.rules import LABEL_KEY
from controller.api.values import DNS_SUBDOMAIN, LABEL_VALUE

Schema = dict[str, Any]

TEXT: Final = {"type": "string"}
QUANTITY: Final = {
    "type": ["string", "number"],
    "pattern": "^[0-9]+([.][0-9]+)?([numkMGTPE]|[KMGTPE]i|[eE][0-9]+)?$",
    "minimum": 0,
}
OBJECT_NAME: Final = {"type": "string", "maxLength": 253, "pattern": DNS_SUBDOMAIN}
OBJECT_NAME_OR_NONE: Final = {"type": "string", "maxLength": 253, "pattern": f"^$|{DNS_SUBDOMAIN}"}


def _only(properties: Schema, *required: str) -> Schema:
    found: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return found | ({"required": list(required)} if required else {})


def _by_key(values: Schema) -> Schema:
    # Not propertyNames: Helm tells a wrong place of what these find.
    return {
        "type": "object",
        "patternProperties": {LABEL_KEY: values},
        "additionalProperties": False,
    }


def _list_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


LABELS: Final = _by_key({"type": "string", "maxLength": 63, "pattern": LABEL_VALUE})
ANNOTATIONS: Final = _by_key(TEXT)
PULL_SECRETS: Final = _list_of(_only({"name": OBJECT_NAME}, "name"))
RESOURCES: Final = _only(
    {
        "requests": {"type": "object", "additionalProperties": QUANTITY},
        "limits": {"type": "object", "additionalProperties": QUANTITY},
        "claims": _list_of({"type": "object"}),
    }
)
TOLERATIONS: Final = _list_of(
    _only(
        {
            "key": TEXT,
            "operator": {"enum": ["Exists", "Equal", "Lt", "Gt"]},
            "value": TEXT,
            "effect": {"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
            "tolerationSeconds": {"type": "integer"},
        }
    )
)
AFFINITY: Final = _only(
    {name: {"type": "object"} for name in ("nodeAffinity", "podAffinity", "podAntiAffinity")}
)
SPREAD: Final = _list_of(
    _only(
        {
            "maxSkew": {"type": "integer", "minimum": 1},
            "topologyKey": TEXT,
            "whenUnsatisfiable": {"enum": ["DoNotSchedule", "ScheduleAnyway"]},
            "labelSelector": {"type": "object"},
            "matchLabelKeys": _list_of(TEXT),
            "minDomains": {"type": "integer", "minimum": 1},
            "nodeAffinityPolicy": {"enum": ["Honor", "Ignore"]},
            "nodeTaintsPolicy": {"enum": ["Honor", "Ignore"]},
        },
        "maxSkew",
        "topologyKey",
        "whenUnsatisfiable",
    )
)
SE_LINUX: Final = _only(dict.fromkeys(("level", "role", "type", "user"), TEXT))
POLICY_PEERS: Final = _list_of(
    _only({name: {"type": "object"} for name in ("ipBlock", "namespaceSelector", "podSelector")})
    | {"minProperties": 1}
)
