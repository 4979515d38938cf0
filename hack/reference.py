"""The reference page of the API, from the schemas of the kinds and the constants' documentation.

Must say nothing of its own about a field: what is wrong here is mended in controller/api.
"""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from controller.api import annotations, conditions, labels, reasons
from controller.api.crd import KINDS, Kind, definition
from controller.api.meta import API_VERSION

Schema = dict[str, Any]

HEAD = f"""# The API: `{API_VERSION}`

<!-- Generated from controller/api by hack/generate; do not edit. -->

Every field of the four kinds, as `kubectl explain` shows it too. `[]` stands for an item of a list,
`*` for a value of a map; **bold** fields are required. The fields of a template are the same in
`Challenge` and `ChallengeInstance` and have a table of their own.
"""

TEMPLATE = "spec.template"


def page() -> str:
    """Return the page as Markdown."""
    parts = [HEAD, *(_kind(kind) for kind in KINDS)]
    template = _schema(KINDS[0])["properties"]["spec"]["properties"]["template"]
    parts.append(f"## The template\n\n{_table(template, '')}")
    parts.append(f"## Annotations\n\n{_constants(annotations)}")
    parts.append(f"## Labels\n\n{_constants(labels)}")
    parts.append(f"## Conditions\n\n{_constants(conditions)}")
    parts.append(f"## Reasons\n\n{_constants(reasons)}")
    return "\n".join(parts)


def _schema(kind: Kind) -> Schema:
    schema: Schema = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _kind(kind: Kind) -> str:
    model, schema = kind.model, _schema(kind)
    scope = "in a namespace" if model.NAMESPACED else "of the whole cluster"
    fields = {name: schema["properties"][name] for name in ("spec", "status")}
    body = _table({"properties": fields, "required": schema.get("required", [])}, "")
    head = f"`kubectl get {model.SHORT_NAME}`; {scope}. {schema['description']}"
    return f"## {model.KIND}\n\n{head}\n\n{body}{_rules(fields['spec'])}"


def _rules(spec: Schema) -> str:
    messages = [rule["message"] for rule in spec.get("x-kubernetes-validations", [])]
    if not messages:
        return ""
    return "\nBeyond that:\n\n" + "".join(f"- {_text(message)}\n" for message in messages)


def _table(schema: Schema, path: str) -> str:
    rows = [
        f"| {_name(name, required)} | {_type(field)} | {_default(field)} | "
        f"{_text(field['description'])} |"
        for name, field, required in _fields(schema, path)
    ]
    return "\n".join(["| field | type | default | meaning |", "|---|---|---|---|", *rows, ""])


def _fields(schema: Schema, path: str) -> Iterator[tuple[str, Schema, bool]]:
    for name, field in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield here, field, name in schema.get("required", [])
        if here.endswith(".template"):
            continue
        yield from _fields(field, here)
        yield from _fields(field.get("items", {}), f"{here}[]")


def _name(path: str, required: bool) -> str:
    return f"**`{path}`**" if required else f"`{path}`"


def _type(field: Schema) -> str:
    if "enum" in field:
        return ", ".join(f"`{word}`" if word else "empty" for word in field["enum"])
    if field.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if field["type"] == "array":
        return f"list of {_type(field['items'])}, at most {field['maxItems']}"
    if "additionalProperties" in field:
        return f"map of strings, at most {field['maxProperties']}"
    if field["type"] == "integer" and field["maximum"] < 2**31 - 1:
        return f"integer, {field['minimum']} to {field['maximum']}"
    return str(field.get("format") if field.get("format") == "date-time" else field["type"])


def _default(field: Schema) -> str:
    default = field.get("default")
    if default is None or default == "" or isinstance(default, dict):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _text(text: str) -> str:
    return text.replace("|", r"\|").replace("<", "&lt;").replace("*", r"\*")


def _constants(module: ModuleType) -> str:
    body = ast.parse(Path(str(module.__file__)).read_text()).body
    rows = [
        f"| `{value}` | {_text(' '.join(documentation.split()))} |"
        for value, documentation in _documented(body)
    ]
    return "\n".join(["| word | meaning |", "|---|---|", *rows, ""])


def _documented(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Yield each text constant of a module with the documentation string below it."""
    for statement, following in pairwise(body):
        match statement, following:
            case (
                ast.AnnAssign(value=ast.Constant(value=str(value))),
                ast.Expr(value=ast.Constant(value=str(documentation))),
            ):
                yield value, documentation
