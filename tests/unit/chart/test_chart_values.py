"""Values of the chart: each is described and checked, and a wrong one is named."""

import json
import re

import pytest

from controller.settings import Settings
from hack.chart import settings, values
from hack.chart.values import CHART
from tests.chart.rendered import FLAGS, pairwise, render


def test_every_value_is_read_by_a_template() -> None:
    """A value that nothing reads would be a promise that is not kept."""
    texts = "".join(path.read_text() for path in (CHART / "templates").rglob("*") if path.is_file())
    for value in values.read():
        name = value.path.rpartition(".")[2]
        assert f".{name}" in texts, value.path


def test_what_is_there_by_default_agrees_with_the_schema() -> None:
    assert render().objects  # Helm checks the defaults as well


def test_every_value_has_a_place_in_the_schema_that_takes_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    for value in values.read():
        found = schema
        for key in value.path.split("."):
            assert found["additionalProperties"] is False
            found = found["properties"][key]
        assert found["description"] == value.description


def test_a_value_without_a_comment_is_told() -> None:
    with pytest.raises(ValueError, match=r"values.yaml: b.d has no comment"):
        values.read("# One.\na: 1\nb:\n  # Two.\n  c: 2\n  d: 3\n")


def test_each_pair_of_flags_is_together_in_some_combination() -> None:
    rounds = pairwise({"a": [1, 2], "b": [1, 2, 3], "c": [True, False]})
    for b in (1, 2, 3):
        for c in (True, False):
            assert any(each["b"] == b and each["c"] == c for each in rounds)
    assert len(rounds) <= 8
    assert len(pairwise(FLAGS)) <= 16


# -- settings --------------------------------------------------------------------------------------


def test_settings_of_a_role_are_those_that_its_code_reads() -> None:
    """Those of managers are read there, and those of agents in the agents' layers."""
    folders = {"manager": ["manager"], "agent": ["agent", "reconcile", "runtime"]}
    source = CHART.parents[1] / "controller"
    texts = {
        role: "".join(path.read_text() for name in names for path in (source / name).glob("*.py"))
        for role, names in folders.items()
    }
    # Read by a property of the settings' own.
    properties = {"concurrent_launches": "launches", "node_labels": "labels"}
    for name in settings.names():
        read_as = properties.get(name, name)
        for role in ("agent", "manager"):
            if role not in settings.roles(name):
                assert not re.search(rf"settings\.{read_as}\b", texts[role]), (name, role)
            elif name != "log_level":  # of the whole process
                assert re.search(rf"\.{read_as}\b", texts[role]), (name, role)


def test_the_bounds_of_the_schema_are_those_of_the_model() -> None:
    schema = settings.schema()["properties"]
    assert schema["maxInstances"]["maximum"] == 1_000_000
    assert schema["firewall"]["enum"] == ["on", "off"]
    assert schema["resolvers"]["maxItems"] == 3
    assert schema["concurrentLaunches"]["anyOf"][0]["maximum"] == 64
    assert settings.CHART.keys() - Settings.model_fields.keys() <= {"host_node"}
