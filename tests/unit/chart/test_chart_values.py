"""Values of the chart: each is described and checked, and a wrong one is named."""

import json
import re
from typing import Any

import pytest

from controller.settings import Settings
from hack.chart import settings, values
from hack.chart.values import CHART
from tests.chart.rendered import FLAGS, complaint, nested, pairwise, render

WRONG: dict[str, Any] = {
    "installation": "Exam 2",
    "image.pullPolicy": "Sometimes",
    "image.digest": "sha256:12",
    "image.registry": "example.org",
    "imagePullSecrets": ["registry"],
    "instances.namespaces": ["*", "team-a"],
    "manager.replicas": 3,
    "manager.metricsPort": 0,
    "manager.nodeSelector": {"disk": True},
    "agent.docker.socketDir": "var/run",
    "agent.docker.mountPropagation": "Bidirectional",
    "agent.stateDir": "relative",
    "agent.maxUnavailable": 0,
    "agent.tolerations": ["all"],
    "agent.terminationGracePeriodSeconds": "60",
    "agent.privileged": True,
    "crds.enabled": "yes",
    "crds.install": True,
    "networkPolicy.apiServerPorts": ["https"],
    "podMonitor.interval": "30",
    "testInstance.protocol": "udp",
    "uninstall.timeoutSeconds": 0,
    "replicas": 2,
    # Settings: unknown ones, of another role, of the wrong type, beyond their bounds, the chart's.
    "settings.pruneage": "1h",
    "settings.prune_age": "1h",
    "settings.concurrentLaunches": 65,
    "settings.firewall": True,
    "settings.maxInstances": "many",
    "settings.namespaces": ["team-a"],
    "settings.resolvers": ["1.1.1.1", "1.0.0.1", "9.9.9.9", "8.8.8.8"],
    "agent.settings.memoryOvercommit": 2,
    "manager.settings.ports": "20000-21000",
}


@pytest.mark.parametrize("path", WRONG)
def test_a_wrong_value_is_named(path: str) -> None:
    said = complaint(nested(path, WRONG[path]))
    *above, last = path.split(".")
    pointer = "/" + "/".join(above)
    named = f"at '/{'/'.join(path.split('.'))}" in said
    unknown = f"additional properties '{last}' not allowed" in said and (
        f"at '{pointer}'" in said or not above
    )
    assert named or unknown, said


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
