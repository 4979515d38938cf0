"""A container's environment variables, as a Pod has them.

Must not read what they refer to.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from controller.api.meta import Model, Rule
from controller.api.values import DataKey, ObjectName, Text

EnvName = Annotated[
    str, Field(min_length=1, max_length=253, pattern="^[-._a-zA-Z][-._a-zA-Z0-9]*$")
]


class SecretKeyReference(Model):
    """One key of a Secret."""

    name: ObjectName
    """The Secret's name, in the instance's namespace; it must bear the label
    challenge-controller.io/use: "true"."""
    key: DataKey
    """The key in the Secret's data."""


class ConfigMapKeyReference(Model):
    """One key of a ConfigMap."""

    name: ObjectName
    """The ConfigMap's name, in the instance's namespace."""
    key: DataKey
    """The key in the ConfigMap's data."""


class FieldReference(Model):
    """One field of the instance."""

    field_path: Literal[
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.user",
        "spec.seed",
        "spec.nodeName",
    ]
    """The field; one that is not set gives an empty value."""


class EnvVarSource(Model):
    """Where a variable's value comes from; exactly one is set."""

    rules: ClassVar = (
        Rule(
            "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)]"
            ".filter(x, x).size() == 1",
            "valueFrom must have exactly one of secretKeyRef, configMapKeyRef and fieldRef",
        ),
    )

    secret_key_ref: SecretKeyReference | None = None
    """A key of a Secret."""
    config_map_key_ref: ConfigMapKeyReference | None = None
    """A key of a ConfigMap."""
    field_ref: FieldReference | None = None
    """A field of the instance."""


class EnvVar(Model):
    """An environment variable."""

    rules: ClassVar = (
        Rule(
            "!(has(self.value) && has(self.valueFrom))",
            "value and valueFrom must not both be set",
        ),
    )

    name: EnvName
    """The variable's name."""
    value: Text | None = None
    """The variable's value as it stands; $(NAME) is not expanded."""
    value_from: EnvVarSource | None = None
    """Where the value comes from instead."""
