"""The settings: one name in the environment, on the command line and in a complaint."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.settings import PREFIX, Settings, SettingsError, load


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a fresh machine."""
    for name in list(os.environ):
        if name.upper().startswith(PREFIX) or name in ("DOCKER_HOST", "KUBECONFIG"):
            monkeypatch.delenv(name)


def complaint(**flags: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load(flags)
    return str(caught.value)


def test_a_machine_where_nothing_is_set_is_served_with_the_documented_defaults() -> None:
    settings = load()
    assert settings.launches == 2
    assert settings.port_range == range(10000, 30000)
    assert settings.docker_host == "unix:///var/run/docker.sock"
    assert settings.prune_age == "1h"
    assert settings.namespaces == ()
    assert settings.kubeconfig is None


def test_dockers_own_variable_names_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/other.sock")
    assert load().docker_host == "unix:///run/other.sock"
    monkeypatch.setenv("CHALLENGE_DOCKER_HOST", "unix:///run/ours.sock")
    assert load().docker_host == "unix:///run/ours.sock"


def test_a_flag_goes_before_the_environment_and_one_not_given_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHALLENGE_CONCURRENT_PULLS", "5")
    monkeypatch.setenv("CHALLENGE_LOG_LEVEL", "debug")
    settings = load({"concurrent_pulls": "7", "log_level": None})
    assert (settings.concurrent_pulls, settings.log_level) == (7, "debug")


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHALLENGE_NAMESPACES", " team-a, team-b ,")
    assert load().namespaces == ("team-a", "team-b")
    assert load({"allowed_capabilities": ""}).allowed_capabilities == ()
    assert load({"allowed_capabilities": "NET_ADMIN,SYS_PTRACE"}).allowed_capabilities == (
        "NET_ADMIN",
        "SYS_PTRACE",
    )


def test_a_nodes_labels_are_read_by_key() -> None:
    found = load({"node_labels": "example.org/disk=ssd, zone=,a=1"}).labels
    assert found == {"example.org/disk": "ssd", "zone": "", "a": "1"}
    assert load({}).labels == {}


def test_an_empty_kubeconfig_is_none() -> None:
    """A chart sets every variable; Path("") would be the working directory."""
    assert load({"kubeconfig": ""}).kubeconfig is None
    assert load({"kubeconfig": "/etc/kube/config"}).kubeconfig == Path("/etc/kube/config")


def test_auto_is_the_number_of_cpus_within_the_gates_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert load({"concurrent_launches": "auto"}).launches == 6
    monkeypatch.setattr(os, "cpu_count", lambda: 128)
    assert load({"concurrent_launches": "auto"}).launches == 64
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert load({"concurrent_launches": "auto"}).launches == 1


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("concurrent_launches", "0", "expected a whole number from 1 to 64, or auto"),
        ("concurrent_launches", "65", "expected a whole number from 1 to 64, or auto"),
        ("concurrent_launches", "two", "expected a whole number from 1 to 64, or auto"),
        ("concurrent_pulls", "0", "expected greater than or equal to 1"),
        ("ports", "10000", "expected FIRST-LAST, e.g. 10000-29999"),
        ("ports", "-5-10", "expected FIRST-LAST, e.g. 10000-29999"),
        ("ports", "0-10", "expected 1 <= FIRST <= LAST <= 65535"),
        ("ports", "20-10", "expected 1 <= FIRST <= LAST <= 65535"),
        ("ports", "10000-65536", "expected 1 <= FIRST <= LAST <= 65535"),
        ("interface", "eth0", "expected an IP address of this host"),
        ("shared_subnets", "10.0.0.0/23", "expected an IPv4 range of /22 or larger"),
        ("shared_subnets", "10.0.0.1/8", "has host bits set"),
        ("instance_subnets", "10.0.0.0/28", "expected an IPv4 range of /27 or larger"),
        ("instance_subnets", "fd00::/64", "expected an IPv4 range such as"),
        ("docker_host", "tcp://10.0.0.1:2375", "unix:///"),
        ("docker_timeout", "0", "expected greater than 0"),
        ("docker_timeout", "nan", "expected less than or equal to 86400"),
        ("node_name", "Node_1", "expected the name of a node: lower-case letters"),
        ("namespaces", "team-*", "expected names of namespaces; 'team-*' is none"),
        ("public_address", "http://example.org", "expected text that matches"),
        ("prune_age", "1 hour", "expected a duration such as 90s, 45m or 1h30m"),
        ("default_cpu", "two", "expected CPUs such as 500m, 2 or 0.5"),
        ("default_memory", "1e3", "expected bytes such as 512Mi"),
        ("default_volume_size", "1Gb", "expected bytes such as 512Mi"),
        ("default_volume_size", "4095", "expected at least 4Ki"),
        ("ledger_wal", "maybe", "expected a valid boolean"),
        ("log_level", "INFO", "expected 'debug', 'info', 'warning' or 'error'"),
        ("node_labels", "disk", "expected labels such as example.org/disk=ssd; 'disk' is none"),
        ("node_labels", "disk=a b", "'disk=a b' is none"),
        ("node_labels", "-x=1", "'-x=1' is none"),
        ("node_labels", f"disk={'x' * 64}", "is none"),
        ("node_labels", "challenge-controller.io/pool=a", "is the controller's"),
        ("node_labels", "a=1,a=2", "expected each label once"),
        ("disk_reserve", "91", "expected less than or equal to 90"),
        ("orphan_hold", "0", "expected greater than 0"),
        ("node_lease_duration", "3", "expected greater than or equal to 4"),
    ],
)
def test_a_wrong_value_names_variable_value_and_what_was_expected(
    name: str, value: str, expected: str
) -> None:
    (line,) = complaint(**{name: value}).splitlines()
    assert line.startswith(f"CHALLENGE_{name.upper()}=")
    assert value.strip() in line
    assert expected in line


def test_the_environments_wrong_values_are_named_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHALLENGE_PORTS", "all")
    assert complaint() == "CHALLENGE_PORTS='all': expected FIRST-LAST, e.g. 10000-29999"


def test_every_wrong_setting_has_a_line() -> None:
    lines = complaint(ports="all", concurrent_pulls="none").splitlines()
    assert sorted(line.partition("=")[0] for line in lines) == [
        "CHALLENGE_CONCURRENT_PULLS",
        "CHALLENGE_PORTS",
    ]


@pytest.mark.parametrize(
    ("shared", "instance"),
    [("10.0.0.0/8", "10.213.0.0/16"), ("10.0.0.0/20", "10.0.0.0/16")],
)
def test_the_two_ranges_of_subnets_must_be_apart(shared: str, instance: str) -> None:
    line = complaint(shared_subnets=shared, instance_subnets=instance)
    assert f"CHALLENGE_SHARED_SUBNETS={shared}" in line
    assert f"CHALLENGE_INSTANCE_SUBNETS={instance}" in line
    assert "expected two ranges apart" in line


def test_every_setting_is_documented() -> None:
    for name, field in Settings.model_fields.items():
        assert (field.description or "").endswith("."), name


@settings(max_examples=40)
@given(st.integers(-5, 70000), st.integers(-5, 70000))
def test_a_range_of_ports_is_taken_exactly_if_all_of_it_are_ports(first: int, last: int) -> None:
    try:
        ports = load({"ports": f"{first}-{last}"}).port_range
    except SettingsError:
        assert not 1 <= first <= last <= 65535
    else:
        assert (ports.start, ports.stop - 1) == (first, last)
        assert 1 <= first <= last <= 65535


@settings(max_examples=40)
@given(
    st.sampled_from(sorted(Settings.model_fields)),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)
def test_whatever_is_set_is_taken_or_complained_about_by_name(name: str, value: str) -> None:
    """Never a traceback: the operator reads this on a machine that does not start."""
    try:
        settings = load({name: value})
    except SettingsError:
        assert complaint(**{name: value}).startswith(f"CHALLENGE_{name.upper()}=")
    else:
        assert settings.launches >= 1
        assert settings.port_range


def test_images_are_allowed_by_patterns_and_all_of_them_by_default() -> None:
    assert load().allowed_images == ("*",)
    wanted = ("registry.example.org/ctf/*", "ubuntu:24.04")
    assert load({"allowed_images": ", ".join(wanted)}).allowed_images == wanted


@pytest.mark.parametrize("value", ["", " , ", "https://r.example/x", "ubuntu,r.example/"])
def test_patterns_that_match_nothing_are_refused_rather_than_every_image(value: str) -> None:
    words = complaint(allowed_images=value)
    assert words.startswith(f"CHALLENGE_ALLOWED_IMAGES={value!r}")
    assert "registry.example.org/ctf/*" in words


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("dropped_capabilities", "MKNOD", "expected NET_RAW among them"),
        ("allowed_capabilities", "CAP_CHOWN", "names of capabilities without CAP_"),
        ("allowed_capabilities", "ALL", "'ALL' is none"),
        ("default_seccomp", "Unconfined", "text that matches"),
        ("default_seccomp", "Localhost/../x", "text that matches"),
        ("cgroup_parent", "../up", "text that matches"),
        ("cgroup_parent", "", "text that matches"),
        ("tmpfs_size", "1Ki", "64Ki or more"),
        ("log_max_size", "much", "bytes such as 512Mi"),
        ("default_ephemeral_storage", "1Ki", "1Mi or more"),
        ("default_core", "-1", "bytes such as 512Mi"),
    ],
)
def test_what_containers_may_not_be_given_is_refused_with_what_may(
    name: str, value: str, expected: str
) -> None:
    told = complaint(**{name: value})
    assert f"{PREFIX}{name.upper()}=" in told
    assert expected in told


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("resolvers", "dns.example.org", "expected IPv4 addresses; 'dns.example.org' is none"),
        ("resolvers", "127.0.0.53", "expected addresses that a container can reach"),
        ("resolvers", "1.1.1.1,8.8.8.8,9.9.9.9,1.0.0.1", "at most 3 items"),
        ("refused_networks", "8.8.8.8/24", "expected IPv4 networks such as 9.8.7.0/24"),
        ("firewall", "maybe", "CHALLENGE_FIREWALL='maybe': expected 'on' or 'off'"),
    ],
)
def test_what_a_firewall_cannot_be_told_is_refused(setting: str, value: str, expected: str) -> None:
    said = complaint(**{setting: value})
    assert f"CHALLENGE_{setting.upper()}=" in said
    assert expected in said


def test_no_resolver_at_all_is_a_choice() -> None:
    assert load({"resolvers": ""}).resolvers == ()


def test_a_node_bears_the_name_of_its_host_and_of_an_installation_that_is_not_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Host-1")
    monkeypatch.setenv("CHALLENGE_HOST_NODE", "ip-10-0-0-7.example.org")
    assert load().node_name == "ip-10-0-0-7.example.org"
    assert load({"installation": "exam-2"}).node_name == "ip-10-0-0-7.example.org.exam-2"
    assert load({"installation": "exam-2", "node_name": "mine"}).node_name == "mine"
    monkeypatch.setenv("CHALLENGE_HOST_NODE", "")
    assert load({"installation": "exam-2"}).node_name == "host-1.exam-2"


def test_no_state_folder_is_within_another_installations() -> None:
    assert load().state_dir == Path("/var/lib/challenge-controller")
    assert load({"installation": "b"}).state_dir == Path("/var/lib/challenge-controller-b")
    assert load({"installation": "b", "state_dir": "/srv/b"}).state_dir == Path("/srv/b")


def test_an_installation_that_fits_no_nodes_name_is_told_alone_not_what_follows_from_it() -> None:
    for wrong in ("a.b", "B", "-b", "b" * 41, ""):
        said = complaint(installation=wrong)
        assert said.startswith(f"CHALLENGE_INSTALLATION='{wrong}': expected lower-case letters")
        assert "\n" not in said
    long = complaint(host_node="n" * 230, installation="b" * 40)
    assert long.startswith("CHALLENGE_NODE_NAME='nnn")
    assert "248 characters at most" in long
