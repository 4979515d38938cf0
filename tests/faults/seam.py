"""The seam: which call at which door of the agent fails, when, and how.

Responsible for counting the calls of each instance, for the journal of them, and for the one fault
that a plan asks for. It knows no door from inside: `doors` has the code that fails there. It is
steered through a folder, so that a test in another process can plan while the agent runs, and an
agent that was killed goes on where it was:

    <folder>/NAME.plan       the fault that the instance of that name is to meet, as its text
    <folder>/NAME.done       the same, once it was met; nothing fails after it
    <folder>/journal.jsonl   every call in its order: a Call a line

Calls outside of any instance's reconcile (at the start, of the node's own, in the resync) are those
of the name AGENT.
"""

import json
import os
import re
import signal
import threading
from collections import Counter
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal, NoReturn, cast, get_args

When = Literal["before", "after"]
What = Literal["error", "timeout", "cut", "late", "delay", "kill"]

AGENT: Final = "AGENT"
ENGINE: Final = "engine"
LEDGER: Final = "ledger"
API: Final = "api"
DOORS: Final = (ENGINE, LEDGER, API)
READS: Final = ".read"
"""After a door's name: its calls that change nothing, which are counted apart."""

FOLDER: Final = "FAULT_FOLDER"
"""The variable that tells the agent which folder it is."""
PATIENCE: Final = 2.0
"""Seconds that the caller of a call waits which is to meet a time-out."""
SILENCE: Final = 4.0
"""Seconds until such a call has ended, at the engine or at the API server."""

_POINT: Final = re.compile(r"([a-z.]+)-(\d+)-([a-z]+)-([a-z]+)")


@dataclass(frozen=True)
class Fault:
    """The nth call of an instance at a door, counted from 1, and what becomes of it.

    `what` is
    error: refused, or an answer that says so, though it was done;
    timeout: no answer in time: never done, or done;
    late: no answer in time, and done after that (`before` only; at the ledger an error);
    cut: the connection ends without an answer (at the ledger an error);
    delay: nothing but half of that time;
    kill: the agent's process ends at once (SIGKILL).
    """

    door: str
    n: int
    when: When
    what: What

    def __str__(self) -> str:
        """As `parse` reads it: "engine-7-after-kill"."""
        return f"{self.door}-{self.n}-{self.when}-{self.what}"

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Raises ValueError."""
        found = _POINT.fullmatch(text.strip())
        if found is None or found[3] not in get_args(When) or found[4] not in get_args(What):
            raise ValueError(f"{text!r}: expected DOOR-N-WHEN-WHAT, such as engine-7-after-kill")
        return cls(found[1], int(found[2]), cast(When, found[3]), cast(What, found[4]))

    def kill(self, when: When) -> None:
        """End this process, if that is what is to happen then."""
        if self.what == "kill" and self.when == when:
            kill_process()

    def is_to(self, when: When, *what: What) -> bool:
        """Whether one of these is to happen then."""
        return self.when == when and self.what in what


@dataclass(frozen=True)
class Call:
    """One call, as the journal has it; `fault` is the one that it met, else empty."""

    instance: str
    door: str
    n: int
    called: str
    fault: str = ""

    def __str__(self) -> str:
        """A line for people."""
        return f"{self.door} {self.n}: {self.called}" + (f"  <-- {self.fault}" * bool(self.fault))


def kill_process() -> NoReturn:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a process outlives SIGKILL")


class Seam:
    """Inside the agent: counts, and says which call is to meet a fault."""

    def __init__(self, folder: Path) -> None:
        """The plans are read from there, each when the first call of its instance is made."""
        self._folder = folder
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._plans: dict[str, Fault] = {}
        self.instance: ContextVar[str] = ContextVar("instance", default=AGENT)
        """Whose reconcile this is."""
        self.names: dict[str, str] = {}
        """The names of all instances seen, by uid."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._journal = os.open(folder / "journal.jsonl", flags, 0o600)

    def close(self) -> None:
        """Close the journal."""
        os.close(self._journal)

    def reach(
        self, door: str, called: str, *, effect: bool, instance: str | None = None
    ) -> Fault | None:
        """A call is about to be made; the fault that it is to meet. Safe for threads."""
        name = instance or self.instance.get()
        where = door if effect else door + READS
        with self._lock:
            self._counts[name, where] += 1
            n = self._counts[name, where]
            fault = self._due(name, where, n)
            met = str(fault) if fault else ""
            line = json.dumps(asdict(Call(name, where, n, called, met)))
            os.write(self._journal, f"{line}\n".encode())
        return fault

    def _due(self, name: str, where: str, n: int) -> Fault | None:
        plan = self._folder / f"{name}.plan"
        if name not in self._plans and plan.exists():
            self._plans[name] = Fault.parse(plan.read_text())
        fault = self._plans.get(name)
        if fault is None or (fault.door, fault.n) != (where, n) or not plan.exists():
            return None
        plan.rename(plan.with_suffix(".done"))  # before it happens: it may be our end
        return fault


@dataclass(frozen=True)
class Control:
    """The same folder from the test's side."""

    folder: Path

    @property
    def env(self) -> dict[str, str]:
        """What the agent is to be started with."""
        return {FOLDER: str(self.folder)}

    def plan(self, name: str, fault: Fault) -> None:
        """Have the instance of that name meet a fault; to be called before it exists."""
        (self.folder / f"{name}.plan").write_text(str(fault))

    def met(self, name: str) -> bool:
        """Whether the instance has met its fault."""
        return (self.folder / f"{name}.done").exists()

    def calls(self, name: str) -> list[Call]:
        """The calls of an instance, in order, those of all agents so far."""
        return [call for call in self._journal() if call.instance == name]

    def forget(self, name: str) -> None:
        """Forget the plan of that name, met or not."""
        for kind in ("plan", "done"):
            (self.folder / f"{name}.{kind}").unlink(missing_ok=True)

    def ends(self) -> int:
        """How many agents a fault has ended, or may have: one at the start can end the agent."""
        met = [call for call in self._journal() if call.fault]
        return sum(call.fault.endswith("-kill") or call.instance == AGENT for call in met)

    def _journal(self) -> list[Call]:
        lines = (self.folder / "journal.jsonl").read_text().splitlines()
        return [Call(**json.loads(line)) for line in lines]
