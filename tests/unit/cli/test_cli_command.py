"""The command: what it prints and how it ends, for people and for whatever restarts it."""

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from controller import __main__ as command
from controller.agent.lock import AlreadyRunning
from controller.cluster.errors import ApiUnavailable
from controller.cluster.lease import HeldElsewhere
from controller.health import Health
from controller.settings import Settings


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """The command sets up the log of its process: here that is the one of all tests."""
    root, own = logging.getLogger(), logging.getLogger("controller")
    filters = {handler: list(handler.filters) for handler in root.handlers}
    levels = {logger: logger.level for logger in (root, own)}
    yield
    for handler, before in filters.items():
        handler.filters[:] = before
    for logger, level in levels.items():
        logger.setLevel(level)


def invoke(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(command.main, arguments, env=environment)


@pytest.mark.parametrize("role", ["all", "agent", "manager"])
def test_a_wrong_setting_ends_every_role_with_2_and_says_which(role: str) -> None:
    result = invoke(role, "--ports", "all", CHALLENGE_CONCURRENT_PULLS="-1")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "CHALLENGE_PORTS='all': expected FIRST-LAST" in result.stderr
    assert "CHALLENGE_CONCURRENT_PULLS='-1': expected" in result.stderr
    assert "Traceback" not in result.output


def test_an_unknown_flag_ends_with_2() -> None:
    assert invoke("agent", "--portss", "1-2").exit_code == 2


def test_no_credentials_end_with_1_and_say_where_they_were_looked_for(tmp_path: Path) -> None:
    result = invoke("manager", "--kubeconfig", str(tmp_path / "absent"))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: No usable credentials in {tmp_path / 'absent'}")
    assert "Traceback" not in result.output


@pytest.mark.parametrize("role", ["all", "agent", "manager"])
def test_every_setting_is_a_flag_with_its_variable_and_its_default(role: str) -> None:
    text = " ".join(invoke(role, "--help").output.split())
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')} " in text, name
        assert f"CHALLENGE_{name.upper()}" in text.replace(" ", ""), name
        assert " ".join((field.description or "").split()[:4]) in text, name
    assert "default: 10000-29999" in text
    assert "default: empty" in text


def test_a_flags_value_reaches_the_settings_and_so_does_the_role(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served: list[tuple[str, Settings]] = []

    async def serve(role: str, settings: Settings) -> int:
        served.append((role, settings))
        return 7

    monkeypatch.setattr(command, "_serve", serve)
    result = invoke("agent", "--concurrent-launches", "auto", CHALLENGE_PORTS="1-2")
    assert result.exit_code == 7
    ((role, settings),) = served
    assert role == "agent"
    assert (settings.concurrent_launches, settings.ports) == ("auto", "1-2")


def test_crds_are_printed_as_kubectl_takes_them() -> None:
    result = invoke("crds")
    assert result.exit_code == 0
    crds = yaml.load_all(result.stdout, Loader=yaml.CSafeLoader)
    kinds = [crd["spec"]["names"]["kind"] for crd in crds]
    assert sorted(kinds) == [
        "Challenge",
        "ChallengeInstance",
        "ChallengeNode",
        "ChallengePool",
    ]


async def _for_ever(cleaned: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        cleaned.append("cleaned")


async def _raise(error: BaseException) -> None:
    await asyncio.sleep(0)
    raise error


async def ending(stop: asyncio.Event, *roles: Coroutine[Any, Any, None]) -> int:
    parts = {f"role {number}": role for number, role in enumerate(roles)}
    return await command._until(stop, parts, Health())


async def test_a_stop_lets_every_role_clean_up_and_ends_with_0() -> None:
    stop, cleaned = asyncio.Event(), list[str]()
    asyncio.get_running_loop().call_soon(stop.set)
    assert await ending(stop, _for_ever(cleaned), _for_ever(cleaned)) == 0
    assert cleaned == ["cleaned", "cleaned"]


@pytest.mark.parametrize(
    "error",
    [
        AlreadyRunning("Another agent holds /x/agent.lock"),
        HeldElsewhere("node-n1", "engine ABC"),
        ApiUnavailable("The API server does not answer"),
        OSError(28, "No space left on device"),
    ],
)
async def test_what_an_operator_must_put_right_is_one_line_and_ends_with_1(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    cleaned: list[str] = []
    assert await ending(asyncio.Event(), _for_ever(cleaned), _raise(error)) == 1
    assert capsys.readouterr().err == f"Error: {error}\n"
    assert cleaned == ["cleaned"]


async def test_errors_of_a_group_of_tasks_are_named_one_by_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    both = ExceptionGroup("tasks", [AlreadyRunning("first"), ExceptionGroup("", [OSError("two")])])
    assert await ending(asyncio.Event(), _raise(both)) == 1
    assert capsys.readouterr().err == "Error: first\nError: two\n"


async def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        await ending(asyncio.Event(), _raise(ZeroDivisionError()))


async def test_a_role_that_ends_by_itself_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever restarts the process on failure would leave it down."""

    async def end() -> None:
        await asyncio.sleep(0)

    assert await ending(asyncio.Event(), end()) == 1
    assert "ended by itself" in capsys.readouterr().err
