"""What the four kinds share: group and version, object metadata, the base classes, CEL rules.

Must hold nothing of one kind.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.annotated_handlers import GetJsonSchemaHandler
from pydantic_core import CoreSchema

from controller.api.values import (
    Duration,
    Timestamp,
    parse_cpu,
    parse_duration,
    parse_memory,
    rfc3339,
)

__all__ = [
    "API_VERSION",
    "FINALIZER",
    "GROUP",
    "VERSION",
    "Duration",
    "Model",
    "ObjectMeta",
    "OwnerReference",
    "Resource",
    "Rule",
    "parse_cpu",
    "parse_duration",
    "parse_memory",
    "rfc3339",
]

GROUP: Final = "challenge-controller.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
FINALIZER: Final = f"{GROUP}/agent"

_SPELLINGS: Final = {
    "image_id": "imageID",
    "pool_uid": "poolUID",
    "ephemeral_storage": "ephemeral-storage",
}


@dataclass(frozen=True)
class Rule:
    """A CEL rule of the API server's on an object, and what it says when it is broken.

    `field` is the path below the object, such as `.ttl`, that an error names; empty: the object.
    """

    rule: str
    message: str
    field: str = ""

    def schema(self) -> dict[str, str]:
        """Return the rule as an entry of x-kubernetes-validations."""
        entry = {"rule": self.rule, "message": self.message}
        return entry | ({"fieldPath": self.field} if self.field else {})


def _alias(name: str) -> str:
    return _SPELLINGS.get(name) or to_camel(name)


class Model(BaseModel):
    """An object of the API: snake_case in Python, camelCase in JSON; unknown fields are ignored.

    That an unknown field is refused is the API server's part: an agent must be able to read what a
    newer version of the API wrote. The docstrings of fields are the CRDs' descriptions.
    """

    model_config = ConfigDict(
        alias_generator=_alias,
        validate_by_name=True,
        validate_by_alias=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )
    rules: ClassVar[tuple[Rule, ...]] = ()

    def manifest(self) -> dict[str, Any]:
        """Return the object as the API server takes it: camelCase, unset fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Add the CEL rules to the JSON schema."""
        schema = handler(core)
        if cls.rules:
            target = handler.resolve_ref_schema(schema)
            target["x-kubernetes-validations"] = [rule.schema() for rule in cls.rules]
        return schema


def _none_as_empty(value: Any) -> Any:
    return {} if value is None else value


TextMap = Annotated[dict[str, str], BeforeValidator(_none_as_empty)]


class OwnerReference(Model):
    """Who an object belongs to."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class ObjectMeta(Model):
    """An object's metadata, as far as this project reads it."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: Timestamp | None = None
    deletion_timestamp: Timestamp | None = None
    labels: TextMap = Field(default_factory=dict)
    annotations: TextMap = Field(default_factory=dict)
    finalizers: list[str] = Field(default_factory=list)
    owner_references: list[OwnerReference] = Field(default_factory=list)

    @property
    def controller(self) -> OwnerReference | None:
        """The owner that manages the object, if there is one."""
        return next((owner for owner in self.owner_references if owner.controller), None)


class Resource(Model):
    """An object of one of the four kinds."""

    KIND: ClassVar[str]
    PLURAL: ClassVar[str]
    SHORT_NAME: ClassVar[str]
    NAMESPACED: ClassVar[bool] = True

    metadata: ObjectMeta

    @property
    def key(self) -> str:
        """`namespace/name`, or the name alone for a kind without namespaces."""
        if not self.NAMESPACED:
            return self.metadata.name
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def is_deleting(self) -> bool:
        """Whether somebody has asked for its deletion."""
        return self.metadata.deletion_timestamp is not None

    @classmethod
    def parse(cls, body: Any) -> Self:
        """Read an object as the API server sends it; raises pydantic.ValidationError."""
        return cls.model_validate(body)
