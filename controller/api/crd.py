"""The CustomResourceDefinitions of the four kinds, generated from their models.

Must say nothing that a model says already: only what belongs to a kind as a whole, such as printer
columns, selectable fields and the scale subresource.
"""

from dataclasses import dataclass
from typing import Any, Final

import yaml

from controller.api.challenge import Challenge
from controller.api.instance import ChallengeInstance
from controller.api.meta import API_VERSION, GROUP, VERSION, Resource
from controller.api.node import ChallengeNode
from controller.api.pool import ChallengePool
from controller.api.schema import Schema, structural, without_rules

CATEGORY: Final = "challenges"

HEADER: Final = "# Generated from controller/api by hack/generate; do not edit.\n"


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`; `wide` ones only with `-o wide`."""

    name: str
    type: str
    path: str
    description: str
    wide: bool = False

    def schema(self) -> Schema:
        """Return the column as an entry of additionalPrinterColumns."""
        entry: Schema = {
            "name": self.name,
            "type": self.type,
            "jsonPath": self.path,
            "description": self.description,
        }
        return entry | ({"priority": 1} if self.wide else {})


def _condition_column(name: str, type: str, field: str, description: str) -> Column:
    path = f'.status.conditions[?(@.type=="{type}")].{field}'
    return Column(name, "string", path, description)


_READY = _condition_column("Ready", "Ready", "status", "Whether it is up and answers.")
_REASON = _condition_column("Reason", "Ready", "reason", "Why it is ready or not.")
_AGE = Column("Age", "date", ".metadata.creationTimestamp", "How long it has existed.")


@dataclass(frozen=True)
class Kind:
    """What a CustomResourceDefinition has beside the schema."""

    model: type[Resource]
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = ()
    scale: bool = False
    name_limit: int | None = None


KINDS: Final = (
    Kind(
        ChallengeInstance,
        (
            _READY,
            _REASON,
            Column("Node", "string", ".status.nodeName", "The node that it runs on."),
            Column(
                "Address", "string", ".status.ports[0].endpoint", "Where players connect to first."
            ),
            Column(
                "Challenge", "string", ".spec.challengeRef.name", "What it is a copy of.", wide=True
            ),
            Column("User", "string", ".spec.user", "Whose it is.", wide=True),
            Column("Expires", "string", ".status.expirationTime", "Its end.", wide=True),
            _AGE,
        ),
        selectable=(".status.nodeName", ".spec.challengeRef.name"),
    ),
    Kind(
        Challenge,
        (
            _READY,
            _REASON,
            Column("Instances", "integer", ".status.instances", "How many refer to it."),
            Column("PrePulled", "string", ".status.prePulled", "Nodes that have its images."),
            _AGE,
        ),
    ),
    Kind(
        ChallengePool,
        (
            _READY,
            _REASON,
            Column("Challenge", "string", ".spec.challengeRef.name", "What it has copies of."),
            Column("Desired", "integer", ".spec.replicas", "Instances wanted for each seed."),
            Column("Current", "integer", ".status.replicas", "The fewest that a seed has."),
            Column("Instances", "integer", ".status.instances", "Over all seeds."),
            Column("Up", "integer", ".status.readyInstances", "How many of them are ready."),
            _AGE,
        ),
        scale=True,
        # The value of a label of its instances, by which they are selected.
        name_limit=63,
    ),
    Kind(
        ChallengeNode,
        (
            _READY,
            _REASON,
            Column(
                "Instances", "string", ".status.summary.instances", "How many it has, of how many."
            ),
            Column("Ports", "string", ".status.summary.ports", "Host ports taken, of how many."),
            Column("Launches", "string", ".status.summary.launches", "At work + in the queue."),
            Column("Pressure", "string", ".status.summary.pressure", "What runs short."),
            Column("Address", "string", ".status.address", "The host that players connect to."),
            Column("Version", "string", ".status.version", "Its agent's version."),
            Column(
                "Memory", "string", ".status.summary.memory", "Promised, of how much.", wide=True
            ),
            Column("PortRange", "string", ".status.portRange", "Its host ports.", wide=True),
            Column("Engine", "string", ".status.engine.version", "Its engine.", wide=True),
            _AGE,
        ),
    ),
)


def manifests() -> dict[str, str]:
    """Return the text of each CRD by its file's name."""
    return {
        f"{kind.model.PLURAL}.yaml": HEADER
        + yaml.safe_dump(definition(kind), sort_keys=False, width=100, allow_unicode=True)
        for kind in KINDS
    }


def definition(kind: Kind) -> Schema:
    """Return the CustomResourceDefinition of a kind as an object."""
    model = kind.model
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{model.PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced" if model.NAMESPACED else "Cluster",
            "names": {
                "kind": model.KIND,
                "listKind": f"{model.KIND}List",
                "plural": model.PLURAL,
                "singular": model.KIND.lower(),
                "shortNames": [model.SHORT_NAME],
                "categories": [CATEGORY],
            },
            "versions": [_version(kind)],
        },
    }


def _version(kind: Kind) -> Schema:
    version: Schema = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": _subresources(kind),
        "additionalPrinterColumns": [column.schema() for column in kind.columns],
    }
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable]
    version["schema"] = {"openAPIV3Schema": _root(kind)}
    return version


def _subresources(kind: Kind) -> Schema:
    subresources: Schema = {"status": {}}
    if kind.scale:
        subresources["scale"] = {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        }
    return subresources


def _root(kind: Kind) -> Schema:
    model = kind.model
    schema = structural(model)
    fields: dict[str, Any] = schema["properties"]
    status = without_rules(fields["status"])
    # Without it kstatus takes an object that no controller has seen yet for a finished one.
    status["default"] = {"observedGeneration": -1}
    required = [name for name in schema["required"] if name != "metadata"]
    root: Schema = {
        "type": "object",
        "description": schema["description"],
        "properties": {
            "apiVersion": {
                "type": "string",
                "description": f"The version of this form of the object: {API_VERSION}.",
                "maxLength": 64,
            },
            "kind": {
                "type": "string",
                "description": f"The kind of the object: {model.KIND}.",
                "maxLength": 64,
            },
            "metadata": _metadata(kind),
            "spec": fields["spec"],
            "status": status,
        },
    }
    if required:
        root["required"] = required
    return root


def _metadata(kind: Kind) -> Schema:
    """Return all that the API server lets a CRD say about metadata, which has no description."""
    if kind.name_limit is None:
        return {"type": "object"}
    return {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": kind.name_limit}},
    }
