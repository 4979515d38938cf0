"""Pydantic models to structural OpenAPI v3 schemas, as the API server wants them.

Must know no kind by name. A structural schema has no references, no titles, and no `null` beside a
type: a field that is not set is absent.
"""

from typing import Any

from controller.api.meta import Model

Schema = dict[str, Any]


def structural(model: type[Model]) -> Schema:
    """Return the schema of a model with every reference replaced by what it refers to."""
    schema = model.model_json_schema(by_alias=True)
    definitions: dict[str, Schema] = schema.pop("$defs", {})
    return _structural(schema, definitions)


def without_rules(schema: Any) -> Any:
    """Return a copy without CEL rules, for a status: it is written by the controller alone, from
    what has passed the rules, and evaluating them again costs the API server time at each write.
    """
    if isinstance(schema, list):
        return [without_rules(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {k: without_rules(v) for k, v in schema.items() if k != "x-kubernetes-validations"}


def _structural(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    schema = _dereferenced(schema, definitions)
    schema.pop("title", None)
    if "default" in schema:
        schema["default"] = _without_nulls(schema["default"])
        if schema["default"] is None:
            del schema["default"]
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if schema.get("additionalProperties") is False:
        del schema["additionalProperties"]
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = _structural(schema[key], definitions)
    if "properties" in schema:
        schema["properties"] = {
            name: _structural(field, definitions) for name, field in schema["properties"].items()
        }
    _describe_on_one_line(schema)
    return schema


def _dereferenced(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Follow references and optional types; what stands beside them goes before what they say."""
    while True:
        if "$ref" in schema:
            target = definitions[schema["$ref"].rpartition("/")[2]]
        elif "anyOf" in schema and not schema.get("x-kubernetes-int-or-string"):
            kinds = [kind for kind in schema["anyOf"] if kind != {"type": "null"}]
            if len(kinds) != 1:
                raise TypeError(f"a field of the API has one type, or is int-or-string: {schema}")
            target = kinds[0]
        else:
            return dict(schema)
        schema = target | {k: v for k, v in schema.items() if k not in ("$ref", "anyOf")}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            k: _without_nulls(v) for k, v in value.items() if v is not None and v not in ([], {})
        }
    return value


def _describe_on_one_line(schema: Schema) -> None:
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
