"""A controller that a test or a command has started: its log, its end, its return."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hack.bed.bed import Bed
from hack.bed.controllers import PROGRAM, SERVING_TIMEOUT
from hack.bed.processes import Process


@dataclass
class RunningController:
    """One `challenge-controller` of a bed; its process changes when it is started again."""

    bed: Bed
    name: str
    process: Process
    role: str = "all"
    number: int | None = 1
    env: Mapping[str, str] = field(default_factory=dict)
    module: str = PROGRAM

    @classmethod
    def start(
        cls,
        bed: Bed,
        name: str,
        *,
        role: str = "all",
        number: int | None = 1,
        env: Mapping[str, str] | None = None,
        module: str = PROGRAM,
    ) -> "RunningController":
        """Start one on a node, or on this machine (None).

        `name` also names its log and, unless `env` says otherwise, its state.
        """
        process = bed.start_controller(name, role=role, number=number, env=env, module=module)
        return cls(bed, name, process, role, number, env or {}, module)

    @property
    def state_dir(self) -> Path:
        """Where it keeps its ledger, unless its settings said otherwise."""
        return self.bed.state.folder / "state" / self.name

    def logs(self) -> str:
        """All that it has written so far, before it was started again too."""
        return self.process.log.read_text(errors="replace")

    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.alive()

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for its end; true when it has ended."""
        return self.process.wait(timeout)

    def wait_until_serving(self, timeout: float = SERVING_TIMEOUT) -> None:
        """Wait until it has its Lease, and its node is Ready. Raises BedError when it ends."""
        self.bed.wait_for_controller(self.name, number=self.number, timeout=timeout)

    def freeze(self) -> None:
        """Have it stand still, as a machine does that is out of memory (SIGSTOP)."""
        self.process.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        self.process.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, as a crash does (SIGKILL); a frozen one too."""
        self.process.kill()

    def stop(self) -> None:
        """Ask it to end and wait; it is killed when that takes longer than 20 seconds."""
        self.bed.stop_controller(self.name)

    def start_again(self, env: Mapping[str, str] | None = None) -> None:
        """Start it again with its state, once it has ended; `env` in place of its settings."""
        if env is not None:
            self.env = env
        self.process = self.bed.start_controller(
            self.name, role=self.role, number=self.number, env=self.env, module=self.module
        )
