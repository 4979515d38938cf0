"""Every bound of every field is enforced by the API server, which names the field and the bound."""

import functools

import pytest

from tests.api.bounds import Breach, breaches, fields, objects, schema_of
from tests.api.manifests import MANIFESTS, UNSET, changed
from tests.integration.api.conftest import Api

SECTIONS = [
    ("challenge", "spec"),
    ("challenge", "status"),
    ("instance", "spec"),
    ("instance", "status"),
    ("pool", "spec"),
    ("pool", "status"),
    ("node", "spec"),
    ("node", "status"),
]


def _is_elsewhere(base: str, path: str) -> bool:
    """Tell whether a field is a part of the template, which the Challenge's bounds show."""
    return base == "instance" and path.startswith(("spec.template", "status.template"))


def _breaches(base: str, section: str) -> dict[tuple[str, str], Breach]:
    body = MANIFESTS[base]
    schema = schema_of(body["kind"])["properties"][section]
    found: dict[tuple[str, str], Breach] = {}
    for breach in breaches(schema, body[section], section, section):
        if not _is_elsewhere(base, breach.schema_path):
            found.setdefault((breach.schema_path, breach.bound), breach)
    return found


@pytest.mark.parametrize(("base", "section"), SECTIONS)
def test_manifest_reaches_every_field(base: str, section: str) -> None:
    schema = schema_of(MANIFESTS[base]["kind"])["properties"][section]
    bounded = {
        path
        for path, field in fields(schema, section)
        if field.get("type") != "boolean" and not _is_elsewhere(base, path)
    }

    reached = {path for path, _ in _breaches(base, section)}

    assert bounded - reached == set()


@pytest.mark.parametrize(("base", "section"), SECTIONS)
def test_bounds(api: Api, base: str, section: str) -> None:
    body = MANIFESTS[base]
    submit = api.create
    if section == "status":
        assert api.create(body, keep=True) == []
        submit = functools.partial(api.update, subresource="status")

    wrong = []
    for breach in _breaches(base, section).values():
        value = UNSET if breach.bound.startswith("required") else breach.value
        complaints = submit(changed(body, {breach.path: value}))
        if breach.complaint not in complaints:
            wrong.append(f"{breach}: expected {breach.complaint!r}, got {complaints}")

    assert not wrong, "\n".join(wrong)
    assert submit(body) == [], "good input after bad input"


@pytest.mark.parametrize("base", ["challenge", "instance", "pool", "node"])
def test_unknown_fields(api: Api, base: str) -> None:
    body = MANIFESTS[base]
    schema = schema_of(body["kind"])["properties"]["spec"]

    for path in objects(schema, body["spec"], "spec"):
        complaints = api.create(changed(body, {f"{path}.nonsense": 1}))

        assert len(complaints) == 1, path
        assert f'strict decoding error: unknown field "{path}.nonsense"' in complaints[0]
    assert api.create(body) == []
