"""`challenge-controller firewall`: what an operator sees without touching the kernel."""

import os
import shutil

import pytest
from click.testing import CliRunner

from controller.__main__ import main
from controller.runtime import rules
from controller.settings import PREFIX


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a fresh machine."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def test_show_prints_commands_for_both_families_and_the_operators_networks() -> None:
    done = CliRunner().invoke(
        main, ["firewall", "show", "--installation", "a", "--refused-networks", "8.8.8.0/24"]
    )
    assert done.exit_code == 0
    chain = rules.names("a")
    lines = done.stdout.splitlines()
    assert f"iptables -t filter -N {chain['INPUT']}" in lines
    assert any(line.startswith("ip6tables ") and line.endswith("-j DROP") for line in lines)
    assert f"-A {chain['INTERNET']} -d 8.8.8.0/24 -g {chain['REFUSE']}" in done.stdout
    assert "-I DOCKER-USER" in done.stdout


def test_a_wrong_setting_is_named() -> None:
    done = CliRunner().invoke(main, ["firewall", "apply", "--refused-networks", "8.8.8.8/8"])
    assert done.exit_code == 2
    assert "CHALLENGE_REFUSED_NETWORKS='8.8.8.8/8'" in done.stderr


@pytest.mark.parametrize("command", ["apply", "remove"])
def test_what_prevents_it_is_one_line(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_program: str, **_: object) -> None:
        return None

    monkeypatch.setattr(shutil, "which", nothing)
    done = CliRunner().invoke(main, ["firewall", command, "--installation", "nobody"])
    if command == "remove":
        assert done.exit_code == 0
        assert "not there" in done.stdout
        return
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: The program iptables is not there")
    assert "CHALLENGE_FIREWALL=off" in done.stderr
