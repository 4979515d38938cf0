"""The settings of the command line as values of the chart: names, schema, roles, example lines.

Must say nothing of its own about a setting but which role it concerns, and which of them the chart
sets itself.
"""

import json
from typing import Any, Final

from controller.settings import Settings

Schema = dict[str, Any]

MANAGER: Final = frozenset(
    ("manager_lease_duration", "node_loss_timeout", "max_instances_per_user", "memory_overcommit")
)
"""Read by managers only."""
BOTH: Final = frozenset(
    ("concurrent_launches", "node_lease_duration", "prune_age", "resync_interval", "log_level")
)
"""Read by both roles; all others by agents only."""
CHART: Final = {
    "installation": "installation",
    "namespaces": "instances.namespaces",
    "controller_namespace": "the release's namespace",
    "kubeconfig": "the service account",
    "node_name": "the node that the pod is on",
    "host_node": "the node that the pod is on",
    "docker_host": "agent.docker",
    "state_dir": "agent.stateDir",
    "seccomp_dir": "agent.seccompProfiles",
    "metrics_port": "agent.metricsPort and manager.metricsPort",
    "metrics_address": "agent.exposeMetrics",
}
"""What the chart sets by itself, and from what: these are no values of `settings`."""


def camel_case(name: str) -> str:
    """A setting's name as a value: `prune_age` is `pruneAge`."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def names(role: str = "") -> list[str]:
    """The settings that are values of the chart (for one role), in the model's order."""
    found = (name for name in Settings.model_fields if name not in CHART)
    return [name for name in found if not role or role in roles(name)]


def roles(name: str) -> list[str]:
    """The roles that a setting concerns."""
    if name in MANAGER:
        return ["manager"]
    return ["agent", "manager"] if name in BOTH else ["agent"]


def roles_file() -> str:
    """The file by which the templates know whom a setting concerns."""
    found = {camel_case(name): roles(name) for name in names()}
    return json.dumps(found, indent=2, sort_keys=True) + "\n"


def schema(role: str = "") -> Schema:
    """The schema of the value `settings` (of one role)."""
    properties = Settings.model_json_schema()["properties"]
    fields = {camel_case(name): _field(properties[name], name) for name in names(role)}
    return {"type": "object", "additionalProperties": False, "properties": fields}


def rows() -> list[tuple[str, str, str, str]]:
    """Name, default, roles and description of each setting, for the table."""
    properties = Settings.model_json_schema()["properties"]
    return [
        (
            camel_case(name),
            json.dumps(properties[name].get("default", "")),
            " and ".join(roles(name)),
            str(properties[name]["description"]),
        )
        for name in names()
    ]


def _field(found: Schema, name: str) -> Schema:
    field = {key: value for key, value in found.items() if key != "title"}
    if field.get("format") == "path":
        del field["format"]
    whose = " and ".join(roles(name))
    return field | {"description": f"{field['description']} (Of the {whose}.)"}
