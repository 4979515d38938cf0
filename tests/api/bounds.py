"""Finds every bound that a CRD's schema sets, and for each a value that breaks it.

Must not know any field by name: the schema says what the bounds are, a full manifest where.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from controller.api.crd import KINDS, definition

Schema = dict[str, Any]

WRONG_TEXT = "\x00 ?"
"""Matches no pattern of the API."""


@dataclass(frozen=True)
class Breach:
    """A value that breaks one bound of one field, and what the API server says to it."""

    schema_path: str
    bound: str
    path: str
    value: Any
    complaint: str

    def __str__(self) -> str:
        """Name the case in a test's report."""
        return f"{self.path} {self.bound}"


@cache
def schema_of(kind: str) -> Schema:
    """Return the OpenAPI schema of a kind."""
    found = next(entry for entry in KINDS if kind == entry.model.KIND)
    schema: Schema = definition(found)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def fields(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Yield the path and schema of a field and of all below it, `[]` standing for an item."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from fields(field, f"{path}.{name}")
    if "items" in schema:
        yield from fields(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from fields(schema["additionalProperties"], f"{path}.*")


def breaches(schema: Schema, value: Any, path: str, schema_path: str) -> Iterator[Breach]:
    """Yield the breaches of a field and of all below it, as far as the manifest's value goes."""
    for bound, wrong, complaint in _own(schema, value, path):
        yield Breach(schema_path, bound, path, wrong, complaint)
    for name in schema.get("required", []):
        yield Breach(
            schema_path,
            f"required {name}",
            f"{path}.{name}",
            None,
            f"{path}.{name}: Required value",
        )
    for name, field in schema.get("properties", {}).items():
        if name in value:
            yield from breaches(field, value[name], f"{path}.{name}", f"{schema_path}.{name}")
    if "items" in schema:
        for index, item in enumerate(value):
            yield from breaches(schema["items"], item, f"{path}[{index}]", f"{schema_path}[]")
    if "additionalProperties" in schema:
        for name, item in value.items():
            if "." not in name:
                yield from breaches(
                    schema["additionalProperties"], item, f"{path}.{name}", f"{schema_path}.*"
                )


def objects(schema: Schema, value: Any, path: str) -> Iterator[str]:
    """Yield the path of every object with fields, as far as the manifest's value goes."""
    if "properties" in schema:
        yield path
    for name, field in schema.get("properties", {}).items():
        if name in value:
            yield from objects(field, value[name], f"{path}.{name}")
    if "items" in schema:
        for index, item in enumerate(value):
            yield from objects(schema["items"], item, f"{path}[{index}]")


def _in_body(path: str) -> str:
    """Return how a message calls a field: `status` is left out by the status resource."""
    return f"{path.removeprefix('status').removeprefix('.')} in body"


def _own(schema: Schema, value: Any, path: str) -> Iterator[tuple[str, Any, str]]:
    body = _in_body(path)
    if "type" in schema and schema.get("format") != "date-time":
        wrong: Any = 5 if schema["type"] != "integer" else "5"
        given = "string" if schema["type"] == "integer" else "integer"
        yield (
            "type",
            wrong,
            f'{path}: Invalid value: "{given}": {body} must be of type {schema["type"]}: "{given}"',
        )
    if "enum" in schema:
        known = ", ".join(f'"{word}"' for word in schema["enum"])
        yield (
            "enum",
            "Nonsense",
            f'{path}: Unsupported value: "Nonsense": supported values: {known}',
        )
    if schema.get("format") == "date-time":
        yield (
            "format",
            "yesterday",
            f'{path}: Invalid value: "yesterday": {body} must be of type date-time: "yesterday"',
        )
    yield from _text(schema, path)
    yield from _number(schema, path)
    yield from _length(schema, value, path)


def _text(schema: Schema, path: str) -> Iterator[tuple[str, Any, str]]:
    body = _in_body(path)
    if "maxLength" in schema:
        most = schema["maxLength"]
        yield "maxLength", "a" * (most + 1), f"{path}: Too long: may not be more than {most} bytes"
    if "minLength" in schema:
        least = schema["minLength"]
        wrong = "a" * (least - 1)
        yield (
            "minLength",
            wrong,
            f'{path}: Invalid value: "{wrong}": {body} should be at least {least} chars long',
        )
    if "pattern" in schema:
        yield (
            "pattern",
            WRONG_TEXT,
            f"{path}: Invalid value: \"\\x00 ?\": {body} should match '{schema['pattern']}'",
        )


def _number(schema: Schema, path: str) -> Iterator[tuple[str, Any, str]]:
    body = _in_body(path)
    if "minimum" in schema:
        least = schema["minimum"]
        yield (
            "minimum",
            least - 1,
            f"{path}: Invalid value: {least - 1}: {body} should be greater than or equal to "
            f"{least}",
        )
    if "maximum" in schema:
        most = schema["maximum"]
        yield (
            "maximum",
            most + 1,
            f"{path}: Invalid value: {most + 1}: {body} should be less than or equal to {most}",
        )


def _length(schema: Schema, value: Any, path: str) -> Iterator[tuple[str, Any, str]]:
    if "maxItems" in schema:
        most = schema["maxItems"]
        many = [value[0]] * (most + 1)
        yield "maxItems", many, f"{path}: Too many: {most + 1}: must have at most {most} items"
    if "minItems" in schema:
        least = schema["minItems"]
        yield (
            "minItems",
            [],
            f"{path}: Invalid value: 0: {_in_body(path)} should have at least {least} items",
        )
    if "maxProperties" in schema:
        most = schema["maxProperties"]
        many_keys = {f"k{n}": "v" for n in range(most + 1)}
        yield (
            "maxProperties",
            many_keys,
            f"{path}: Too many: {most + 1}: must have at most {most} items",
        )
