"""The CRDs: up to date, described and bounded on every field, structural."""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from controller.api import conditions, reasons
from controller.api.crd import KINDS, Kind, definition
from hack import generated, reference
from tests.api.bounds import fields, schema_of

NAMES = [kind.model.KIND for kind in KINDS]
ROOT_FIELDS = (".apiVersion", ".kind", ".metadata", ".metadata.name")


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_every_field_has_a_description(kind: Kind) -> None:
    without = [
        path
        for path, field in fields(schema_of(kind.model.KIND), "")
        if not field.get("description", "").endswith((".", "…."))
        and not path.startswith(".metadata")
    ]

    assert without == []


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_every_field_has_bounds(kind: Kind) -> None:
    unbounded = [
        f"{path}: {missing}"
        for path, field in fields(schema_of(kind.model.KIND), "")
        if not path.startswith(".metadata")
        for missing in _missing_bounds(field)
    ]

    assert unbounded == []


def _missing_bounds(field: dict[str, Any]) -> list[str]:
    if field.get("x-kubernetes-int-or-string"):
        needed = ["pattern", "maxLength"]
    elif "enum" in field:
        needed = []
    else:
        needed = {
            "string": ["maxLength"],
            "array": ["maxItems", "x-kubernetes-list-type"],
            "integer": ["minimum", "maximum", "format"],
            "object": ["properties"] if "properties" in field else ["maxProperties"],
            "boolean": [],
        }[field["type"]]
    return [bound for bound in needed if bound not in field]


def test_a_field_without_bounds_is_found() -> None:
    assert _missing_bounds({"type": "string"}) == ["maxLength"]
    assert _missing_bounds({"type": "object"}) == ["maxProperties"]


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_schema_is_structural(kind: Kind) -> None:
    text = str(definition(kind))

    for word in ("$ref", "$defs", "'title'", "'const'", "null", "None,", "None}", "prefixItems"):
        assert word not in text.replace("default': 'None'", ""), word


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_list_map_keys_are_always_there(kind: Kind) -> None:
    for path, field in fields(schema_of(kind.model.KIND), ""):
        for key in field.get("x-kubernetes-list-map-keys", []):
            item = field["items"]
            assert key in item.get("required", []) or "default" in item["properties"][key], path


def test_template_is_the_same_in_instance_and_challenge() -> None:
    instance, challenge = schema_of("ChallengeInstance"), schema_of("Challenge")
    one = instance["properties"]["spec"]["properties"]["template"]
    other = challenge["properties"]["spec"]["properties"]["template"]

    assert {**one, "description": ""} == {**other, "description": ""}


def test_status_is_not_checked_by_rules() -> None:
    for name in NAMES:
        assert "x-kubernetes-validations" not in str(schema_of(name)["properties"]["status"])


def test_names() -> None:
    found = {
        name["plural"]: (name["kind"], name["shortNames"], name["categories"])
        for name in (definition(kind)["spec"]["names"] for kind in KINDS)
    }

    assert found == {
        "challengeinstances": ("ChallengeInstance", ["chinst"], ["challenges"]),
        "challenges": ("Challenge", ["chal"], ["challenges"]),
        "challengepools": ("ChallengePool", ["chpool"], ["challenges"]),
        "challengenodes": ("ChallengeNode", ["chnode"], ["challenges"]),
    }


def test_crds_are_up_to_date() -> None:
    result = CliRunner().invoke(generated.main, ["--check"])
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.model.KIND)
def test_every_bound_is_shown_by_the_api_server_as_it_was_written(kind: Kind) -> None:
    """It keeps them as floats; other digits than in Git would be a drift for ever."""

    def bounds(schema: Any) -> Iterator[int]:
        if isinstance(schema, list):
            for item in schema:
                yield from bounds(item)
        elif isinstance(schema, dict):
            limits = (schema.get(key) for key in ("minimum", "maximum"))
            yield from (limit for limit in limits if isinstance(limit, int))
            for value in schema.values():
                yield from bounds(value)

    found = list(bounds(definition(kind)))
    assert found
    assert [bound for bound in found if int(Decimal(repr(float(bound)))) != bound] == []


def test_drift_is_found_and_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = generated.files()
    texts = {tmp_path / path.relative_to(generated.ROOT): text for path, text in wanted.items()}
    monkeypatch.setattr(generated, "files", lambda: texts)
    monkeypatch.setattr(generated, "ROOT", tmp_path)
    run = CliRunner()
    missing = run.invoke(generated.main, ["--check"])
    run.invoke(generated.main)
    mended = run.invoke(generated.main, ["--check"])
    (tmp_path / "crds" / "challenges.yaml").write_text("by hand")
    (tmp_path / "crds" / "old.yaml").write_text("by hand")
    differs = run.invoke(generated.main, ["--check"])

    assert missing.exit_code == 1
    assert "crds/challenges.yaml: missing; run hack/generate" in missing.output
    assert (mended.exit_code, mended.output) == (0, "")
    assert differs.exit_code == 1
    assert differs.output.splitlines() == [
        "crds/challenges.yaml: differs from the code; run hack/generate",
        "crds/old.yaml: nothing generates it; delete it",
    ]


@pytest.mark.parametrize("module", [reasons, conditions])
def test_constants_are_words_that_the_api_takes_and_are_documented(module: Any) -> None:
    source = Path(module.__file__).read_text()
    constants = re.findall(r'^([A-Z_]+): Final = "(.*)"\n(.*)', source, flags=re.M)

    assert len(constants) > 10
    assert len({value for _, value, _ in constants}) == len(constants)
    for name, value, documentation in constants:
        assert re.fullmatch("[A-Z][A-Za-z0-9]*", value), name
        assert name == re.sub("(?<!^)([A-Z])", r"_\1", value).upper(), name
        assert documentation.startswith('"""'), name


def test_reference_has_every_field_and_reason() -> None:
    page = reference.page()

    for word in ("spec.challengeRef.name", "containers[].ports[].containerPort", "CrashLoop"):
        assert f"`{word}`" in page
    for line in page.splitlines():
        assert not line.startswith("|") or line.count("|") - line.count(r"\|") in (3, 5), line
