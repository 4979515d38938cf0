"""Programs in the background: started with a log file, remembered by pid and start time, stopped.

A pid alone is never signalled: it may have been given to another program since. The start time in
/proc tells them apart, and a pidfd keeps them apart while we act.
"""

import atexit
import os
import select
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, Field

from hack.bed.errors import BedError, ProgramFailed

_children: dict[int, subprocess.Popen[bytes]] = {}


def run(
    *argv: str | Path,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 120.0,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return what it printed.

    Raises ProgramFailed when it ends with another code than 0 (unless `check` is false), BedError
    when it is not installed or takes longer than `timeout` seconds.
    """
    command = [str(word) for word in argv]
    try:
        done = subprocess.run(
            command, input=stdin, env=env, timeout=timeout, capture_output=True, text=True
        )
    except FileNotFoundError:
        raise BedError(f"the program `{command[0]}` is needed and is not installed") from None
    except subprocess.TimeoutExpired:
        text = " ".join(command)
        raise BedError(f"`{text}` did not end within {timeout:g} s") from None
    if check and done.returncode != 0:
        raise ProgramFailed(" ".join(command), done.returncode, done.stderr or done.stdout)
    return done


def start_time(pid: int) -> int | None:
    """When a process was started, in clock ticks since boot; None when there is no such process.

    A process that has ended and only waits for its parent to notice counts as ended.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may hold spaces and parentheses itself; fields start after the last.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


class Process(BaseModel):
    """One background program of a bed, as it is written down in the bed's state."""

    name: str
    pid: int
    started: int
    log: Path
    begin: datetime = Field(default_factory=lambda: datetime.now(UTC))
    """When it was started, or first looked at."""

    def alive(self) -> bool:
        """Whether this very process (not merely its pid) still runs."""
        _reap(self.pid)
        return start_time(self.pid) == self.started

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal; false when the process has ended."""
        descriptor = self._open()
        if descriptor is None:
            return False
        try:
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True

    def stands_still(self) -> bool:
        """Whether it was stopped (SIGSTOP), with all of its threads; true when it has ended."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/stat")
        return all(thread.read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)

    def cpu_seconds(self) -> float:
        """CPU time that it has used so far, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / float(os.sysconf("SC_CLK_TCK"))

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for the end of the process; true when it has ended."""
        ended = True
        descriptor = self._open()
        if descriptor is not None:
            try:
                poll = select.poll()
                poll.register(descriptor, select.POLLIN)
                ended = bool(poll.poll(timeout * 1000))
            finally:
                os.close(descriptor)
        _reap(self.pid)
        return ended

    def stop(self, timeout: float = 10.0) -> None:
        """Ask the process to end, wait `timeout` seconds, then kill it. Safe to call again."""
        # A frozen process does not take SIGTERM before it is thawed.
        if self.signal(signal.SIGTERM):
            self.signal(signal.SIGCONT)
        if not self.wait(timeout):
            self.kill()

    def kill(self) -> None:
        """End the process at once (SIGKILL) and wait until it is gone."""
        self.signal(signal.SIGKILL)
        if not self.wait(30.0):
            raise BedError(f"{self.name} (pid {self.pid}) survives SIGKILL; it hangs in the kernel")

    def log_tail(self, lines: int = 20) -> str:
        """The last lines that the program wrote."""
        return tail(self.log, lines)

    def _open(self) -> int | None:
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        if not self.alive():
            os.close(descriptor)
            return None
        return descriptor


def spawn(
    name: str,
    argv: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    namespace: str | None = None,
    dies_with_parent: bool,
) -> Process:
    """Start a program in a session of its own, with its output appended to `log`.

    `namespace` is the network namespace to enter, by name. With `dies_with_parent` the kernel ends
    the program when this one ends, however that comes about; the kernel means the thread that
    started it, so then it has to be the main one. Raises BedError when the program is missing.
    """
    if dies_with_parent and threading.current_thread() is not threading.main_thread():
        raise BedError(f"{name} would end with this thread; start it from the main thread")
    command = [str(word) for word in argv]
    if dies_with_parent:
        command = [_path("setpriv"), "--pdeathsig", "TERM", "--", *command]
    if namespace is not None:
        # Not `ip netns exec`: that one remounts /sys and hides the cgroups.
        command = [_path("nsenter"), f"--net=/run/netns/{namespace}", "--", *command]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                cwd="/",
                start_new_session=True,
            )
        except FileNotFoundError:
            raise BedError(f"the program `{command[0]}` is needed and is not installed") from None
    _children[child.pid] = child
    # Our own child stays in /proc until it is waited for, so its start time can always be read.
    text = Path(f"/proc/{child.pid}/stat").read_text()
    started = int(text.rpartition(")")[2].split()[19])
    return Process(name=name, pid=child.pid, started=started, log=log)


def tail(log: Path, lines: int) -> str:
    """The last lines of a file; an empty text when there is no such file."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def every_pid() -> Iterator[int]:
    """The ids of all processes that run now."""
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def command_line(pid: int) -> list[str]:
    """The words that a process was started with; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def by_pid(pid: int, name: str) -> Process | None:
    """A process that another program started; None when it has ended."""
    started = start_time(pid)
    if started is None:
        return None
    return Process(name=name, pid=pid, started=started, log=Path("/dev/null"))


def _reap(pid: int) -> None:
    """Take note of the end of a child of ours, or the kernel keeps its pid."""
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]


@atexit.register
def _reap_all() -> None:
    """Take note of those that nobody stopped since they had ended themselves."""
    for pid in list(_children):
        _reap(pid)


def _path(program: str) -> str:
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise BedError(f"the program `{program}` is needed and is not installed (util-linux)")
    return found


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore Ctrl-C and SIGTERM for a while: a removal that is cut short leaves a mess."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
