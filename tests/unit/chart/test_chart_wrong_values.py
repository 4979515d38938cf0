"""A wrong value is refused by Helm, by its name, before anything is sent; a right one is not."""

from typing import Any

import pytest

from controller.settings import Settings, SettingsError, load
from hack.chart import settings
from tests.chart.rendered import agent, complaint, environment, manager, nested, render

WRONG: list[tuple[str, Any]] = [
    ("installation", "Exam 2"),
    ("nameOverride", "Challenges"),
    ("image.repository", "registry.example.org/challenge-controller:0.1.0"),
    ("image.repository", "https://registry.example.org/challenge-controller"),
    ("image.tag", 1.1),
    ("image.tag", "latest@sha256:12"),
    ("image.pullPolicy", "Sometimes"),
    ("image.digest", "sha256:12"),
    ("image.registry", "example.org"),
    ("imagePullSecrets", ["registry"]),
    ("imagePullSecrets", [{"name": "My Registry"}]),
    ("commonLabels", {"team": "capture the flag"}),
    ("instances.namespaces", ["*", "team-a"]),
    ("instances.namespaces", ["Team-A"]),
    ("manager.replicas", 3),
    ("manager.metricsPort", 0),
    ("manager.metricsPort", 70_000),
    ("manager.metricsPort", "metrics"),
    ("manager.nodeSelector", {"disk": True}),
    ("manager.resources", {"limit": {"memory": "1Gi"}}),
    ("manager.resources.limits.memory", "1GB"),
    ("manager.resources.requests.cpu", "half"),
    ("manager.affinity", {"nodeAfinity": {}}),
    ("manager.topologySpreadConstraints", [{"maxSkew": 1, "topologyKey": "zone"}]),
    ("manager.podLabels", {"-team": "ctf"}),
    ("manager.priorityClassName", "System Critical"),
    ("agent.metricsPort", 65_536),
    ("agent.docker.socketDir", "var/run"),
    ("agent.docker.mountPropagation", "Bidirectional"),
    ("agent.stateDir", "relative"),
    ("agent.maxUnavailable", 0),
    ("agent.maxUnavailable", "101%"),
    ("agent.tolerations", ["all"]),
    ("agent.tolerations", [{"operator": "exists"}]),
    ("agent.tolerations", [{"operator": "Exists", "efect": "NoSchedule"}]),
    ("agent.seccompProfiles", {"../strict.json": "{}"}),
    ("agent.seLinuxOptions", {"typ": "spc_t"}),
    ("agent.terminationGracePeriodSeconds", "60"),
    ("agent.privileged", True),
    ("crds.enabled", "yes"),
    ("crds.install", True),
    ("networkPolicy.apiServerPorts", ["https"]),
    ("networkPolicy.apiServerPorts", [70_000]),
    ("networkPolicy.metricsFrom", [{"nameSpaceSelector": {}}]),
    ("podMonitor.interval", "30"),
    ("testInstance.image", "-v /:/host"),
    ("testInstance.port", 70_000),
    ("testInstance.protocol", "udp"),
    ("uninstall.timeoutSeconds", 0),
    ("replicas", 2),
    # Settings: unknown ones, of another role, of the wrong type, the chart's own.
    ("settings.pruneage", "1h"),
    ("settings.prune_age", "1h"),
    ("settings.firewall", True),
    ("settings.namespaces", ["team-a"]),
    ("agent.settings.memoryOvercommit", 2),
    ("manager.settings.ports", "20000-21000"),
]

WRONG_SETTINGS: list[tuple[str, Any]] = [
    ("concurrentLaunches", 65),
    ("concurrentLaunches", "all"),
    ("maxInstances", "many"),
    ("resyncInterval", "abc"),
    ("resyncInterval", 0),
    ("dockerTimeout", 90_000),
    ("ports", "20000"),
    ("ports", "0-29999"),
    ("ports", "10000-65536"),
    ("interface", "eth0"),
    ("interface", "256.0.0.1"),
    ("publicAddress", "http://example.org"),
    ("sharedSubnets", "10.0.0.0/23"),
    ("sharedSubnets", "10.212.0.0"),
    ("instanceSubnets", "10.0.0.0/28"),
    ("instanceSubnets", "fd00::/64"),
    ("firewall", "auto"),
    ("resolvers", ["1.1.1.1", "1.0.0.1", "9.9.9.9", "8.8.8.8"]),
    ("resolvers", ["dns.example.org"]),
    ("resolvers", ["127.0.0.53"]),
    ("resolvers", ["0.0.0.0"]),
    ("refusedNetworks", ["9.8.7.0/33"]),
    ("refusedNetworks", ["office"]),
    ("pruneAge", "1 hour"),
    ("pruneAge", "1d"),
    ("pruneAge", 3600),
    ("allowedImages", []),
    ("allowedImages", ["registry.example.org/ctf/ *"]),
    ("defaultVolumeSize", "1Gb"),
    ("defaultVolumeSize", 4095),
    ("logLevel", "INFO"),
    ("defaultCpu", "two"),
    ("defaultMemory", "1e3"),
    ("defaultCore", "none"),
    ("defaultEphemeralStorage", "1 Gi"),
    ("tmpfsSize", "64MiB"),
    ("logMaxSize", 1024),
    ("defaultPids", 8),
    ("allowedCapabilities", ["CAP_SYS_PTRACE"]),
    ("allowedCapabilities", ["ALL"]),
    ("droppedCapabilities", ["MKNOD"]),
    ("defaultSeccomp", "Unconfined"),
    ("cgroupParent", "../challenges"),
    ("ledgerSynchronous", "full"),
    ("ledgerWal", "maybe"),
    ("nodeLabels", ["disk"]),
    ("nodeLabels", ["disk=a b"]),
    ("nodeLabels", ["challenge-controller.io/pool=a"]),
    ("diskReserve", 91),
    ("nodeLeaseDuration", 3),
    ("memoryOvercommit", 0),
]

RIGHT_SETTINGS: list[tuple[str, Any]] = [
    ("concurrentLaunches", "auto"),
    ("concurrentLaunches", 64),
    ("resyncInterval", 0.5),
    ("ports", "1-65535"),
    ("ports", "20000-21000"),
    ("interface", "0.0.0.0"),
    ("interface", "192.0.2.255"),
    ("interface", "::"),
    ("interface", "2001:db8::7"),
    ("interface", "::ffff:192.0.2.1"),
    ("publicAddress", "ctf.example.org"),
    ("sharedSubnets", "10.0.0.0/9"),
    ("sharedSubnets", "172.20.0.0/22"),
    ("instanceSubnets", "192.168.32.0/27"),
    ("resolvers", []),
    ("resolvers", ["10.96.0.10", "223.5.5.5"]),
    ("refusedNetworks", ["9.8.7.0/24", "9.8.7.6", "9.0.0.0/8"]),
    ("pruneAge", "0"),
    ("pruneAge", 0),
    ("pruneAge", "1h30m"),
    ("allowedImages", ["*"]),
    ("allowedImages", ["registry.example.org:5000/ctf/*", "ubuntu:24.04", "*/x@sha256:*"]),
    ("defaultVolumeSize", 4096),
    ("defaultCpu", 2),
    ("defaultCpu", 0.5),
    ("defaultCpu", "250m"),
    ("defaultMemory", "1.5Gi"),
    ("defaultMemory", 536_870_912),
    ("defaultCore", 0),
    ("defaultEphemeralStorage", ""),
    ("defaultEphemeralStorage", "1Gi"),
    ("tmpfsSize", "64Ki"),
    ("allowedCapabilities", []),
    ("allowedCapabilities", ["SYS_PTRACE", "NET_RAW"]),
    ("droppedCapabilities", ["NET_RAW", "MKNOD"]),
    ("nodeLabels", ["example.org/disk=ssd", "zone="]),
    ("cgroupParent", "/ctf/challenges"),
]


def named(path: str, value: Any) -> str:
    """What Helm says against a value; it must be about the value of this name."""
    said = complaint(nested(path, value))
    *above, last = path.split(".")
    unknown = f"additional properties '{last}' not allowed" in said and (
        f"at '/{'/'.join(above)}'" in said or not above
    )
    assert unknown or f"at '/{path.replace('.', '/')}" in said, said
    return said


@pytest.mark.parametrize(("path", "value"), WRONG)
def test_a_wrong_value_is_named(path: str, value: Any) -> None:
    named(path, value)


@pytest.mark.parametrize(("name", "value"), WRONG_SETTINGS)
def test_a_wrong_setting_is_named_and_no_process_would_take_it(name: str, value: Any) -> None:
    named(f"settings.{name}", value)
    with pytest.raises(SettingsError, match=f"^CHALLENGE_{_name(name).upper()}="):
        load({_name(name): _text(value)})


@pytest.mark.parametrize("role", ["agent", "manager"])
def test_a_wrong_setting_of_one_role_is_named(role: str) -> None:
    named(f"{role}.settings.resyncInterval", "abc")


def test_right_settings_are_taken_and_reach_the_process_that_takes_them_too() -> None:
    """The schema must not be stricter than what it is about."""
    for values in _together(RIGHT_SETTINGS):
        found = render({"settings": values})
        given = environment(agent(found)) | environment(manager(found))
        for name in values:
            variable = f"CHALLENGE_{_name(name).upper()}"
            load({_name(name): given[variable]})


def test_every_setting_that_is_text_has_a_shape() -> None:
    """One that anything may be would only be refused by the process."""
    for name, field in settings.schema()["properties"].items():
        each = field.get("items", field)
        if each.get("type") != "boolean":
            assert each.keys() & {"pattern", "enum", "minimum", "exclusiveMinimum", "anyOf"}, name


def _together(rows: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    """Values with as many of the settings at once as can be: the first of each, the second …"""
    rounds: list[dict[str, Any]] = []
    for name, value in rows:
        free = next((each for each in rounds if name not in each), None)
        if free is None:
            rounds.append({name: value})
        else:
            free |= {name: value}
    return rounds


def _name(value: str) -> str:
    """The setting of a value's name."""
    return next(name for name in Settings.model_fields if settings.camel_case(name) == value)


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)
