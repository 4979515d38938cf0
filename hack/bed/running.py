"""A controller that a test or a command has started: its log, its end."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hack.bed.bed import Bed
from hack.bed.processes import Process


@dataclass(frozen=True)
class RunningController:
    """One `challenge-controller` process of a bed."""

    bed: Bed
    name: str
    process: Process

    @classmethod
    def start(
        cls,
        bed: Bed,
        name: str,
        *,
        role: str = "all",
        number: int = 1,
        env: Mapping[str, str] | None = None,
    ) -> "RunningController":
        """Start one; `name` also names its log and, unless `env` says otherwise, its state."""
        return cls(bed, name, bed.start_controller(name, role=role, number=number, env=env))

    @property
    def state_dir(self) -> Path:
        """Where it keeps its ledger, unless its settings said otherwise."""
        return self.bed.state.folder / "state" / self.name

    def logs(self) -> str:
        """All that it has written so far."""
        return self.process.log.read_text(errors="replace")

    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.alive()

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for its end; true when it has ended."""
        return self.process.wait(timeout)

    def kill(self) -> None:
        """End it at once, as a crash does (SIGKILL)."""
        self.process.kill()

    def stop(self) -> None:
        """Ask it to end and wait; it is killed when that takes longer than 20 seconds."""
        self.bed.stop_controller(self.name)
