"""What a schema cannot say, the API server refuses by CEL rules that name field and expectation."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from controller.api.crd import KINDS, definition
from tests.api.manifests import MANIFESTS, UNSET, manifest
from tests.integration.api.conftest import Api


class Case(NamedTuple):
    """A manifest with changes, and all the complaints that they give."""

    base: str
    verb: str
    changes: dict[str, Any]
    complaints: list[str]

    def __str__(self) -> str:
        """Name the case in a test's report."""
        return f"{self.base}: {', '.join(self.changes)}"


def _cases() -> list[Case]:
    entries = yaml.safe_load((Path(__file__).parent / "refusals.yaml").read_text())
    return [
        Case(
            entry["base"],
            entry.get("verb", "create"),
            entry.get("set", {}) | dict.fromkeys(entry.get("unset", []), UNSET),
            entry["complaints"],
        )
        for entry in entries
    ]


CASES = _cases()

ADDED = [
    ("user", "x"),
    ("seed", "x"),
    ("env", [{"name": "X", "value": "x"}]),
    ("flagSecretRef", {"name": "x"}),
    ("nodeName", "x"),
    ("nodeSelector", {"x": "x"}),
]


@pytest.mark.parametrize("case", [c for c in CASES if c.verb == "create"], ids=str)
def test_refused(api: Api, case: Case) -> None:
    complaints = api.create(manifest(case.base, **case.changes))

    assert complaints == case.complaints
    assert api.create(MANIFESTS[case.base]) == [], "good input after bad input"


@pytest.mark.parametrize("case", [c for c in CASES if c.verb == "update"], ids=str)
def test_immutable(api: Api, case: Case) -> None:
    assert api.create(MANIFESTS[case.base], keep=True) == []

    assert api.update(manifest(case.base, **case.changes)) == case.complaints


@pytest.mark.parametrize(("field", "value"), ADDED)
def test_immutable_field_cannot_be_added(api: Api, field: str, value: Any) -> None:
    without = manifest("instance", **{f"spec.{field}": UNSET})
    assert api.create(without, keep=True) == []

    complaints = api.update(manifest("instance", **{f"spec.{field}": value}))

    expected = f"{field} is immutable: delete the instance and create another one"
    assert complaints == [f"spec.{field}: Invalid value: {expected}"]


def test_challenge_ref_cannot_become_a_template(api: Api) -> None:
    assert api.create(MANIFESTS["instance"], keep=True) == []

    complaints = api.update(MANIFESTS["inline"])

    assert complaints == [
        f"spec.{field}: Invalid value: {field} is immutable: delete the instance and create "
        "another one"
        for field in ("challengeRef", "template")
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ttl", "2h"),
        ("ttl", UNSET),
        ("renewTime", "2026-02-01T00:00:00Z"),
        ("suspended", True),
        ("onExpiry", "Retain"),
    ],
)
def test_the_rest_can_be_changed(api: Api, field: str, value: Any) -> None:
    assert api.create(MANIFESTS["inline"], keep=True) == []

    assert api.update(manifest("inline", **{f"spec.{field}": value})) == []


def test_every_rule_is_tried() -> None:
    tried = "\n".join(complaint for case in CASES for complaint in case.complaints)

    untried = {message for kind in KINDS for message in _messages(definition(kind))}
    untried = {message for message in untried if message not in tried}

    assert untried == set()


def _messages(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return set().union(*(_messages(item) for item in schema))
    if not isinstance(schema, dict):
        return set()
    own = {rule["message"] for rule in schema.get("x-kubernetes-validations", [])}
    return own.union(*(_messages(value) for value in schema.values()))
