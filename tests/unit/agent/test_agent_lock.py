"""One agent per engine: a second one is refused by the first one's name, and a dead one by none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from controller.agent import lock
from controller.agent.lock import AlreadyRunning, HostLock, engine_lock, take

HOLD = """
import sys
from pathlib import Path
from controller.agent.lock import HostLock
HostLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_agent_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    file = tmp_path / "agent.lock"
    first = HostLock(file)
    first.acquire()
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}") as caught:
        HostLock(file).acquire()
    assert str(file) in str(caught.value)
    assert "stop it first" in str(caught.value)
    first.release()


def test_a_released_lock_can_be_taken_and_released_twice(tmp_path: Path) -> None:
    file = tmp_path / "agent.lock"
    first, second = HostLock(file), HostLock(file)
    first.acquire()
    first.release()
    first.release()
    second.acquire()
    first.release()
    with pytest.raises(AlreadyRunning):
        first.acquire()
    second.release()
    first.acquire()
    first.release()


def test_an_agent_that_was_killed_leaves_no_lock_behind(tmp_path: Path) -> None:
    file = tmp_path / "agent.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(AlreadyRunning, match=f"process {holder.pid}"):
            HostLock(file).acquire()
        holder.kill()
        holder.wait()
        HostLock(file).acquire()


def test_a_folder_that_is_not_there_is_the_systems_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        HostLock(tmp_path / "absent" / "agent.lock").acquire()


def test_engines_and_installations_have_locks_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "LOCK_FOLDER", tmp_path)
    held = engine_lock("default", "ABCD:EFGH/../x")
    held.acquire()
    with pytest.raises(AlreadyRunning):
        engine_lock("default", "ABCD:EFGH/../x").acquire()
    for other in (engine_lock("second", "ABCD:EFGH/../x"), engine_lock("default", "ABCD:IJKL")):
        other.acquire()
        other.release()
    assert all(file.parent == tmp_path for file in tmp_path.iterdir())
    held.release()


def test_without_the_hosts_folder_an_agent_serves_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lock, "LOCK_FOLDER", tmp_path / "absent")
    take(engine_lock("default", "ABCD"))
    assert f"Cannot lock the engine in {tmp_path / 'absent'} (no such file or directory)" in (
        caplog.text
    )
    monkeypatch.setattr(lock, "LOCK_FOLDER", tmp_path)
    first = engine_lock("default", "ABCD")
    take(first)
    with pytest.raises(AlreadyRunning):
        take(engine_lock("default", "ABCD"))
    first.release()
