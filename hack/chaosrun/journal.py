"""What was done and seen during a run, with its time: for who looks for a cause afterwards."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path


class Journal:
    """Lines in memory and in a file; several threads may write."""

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Times are seconds since now."""
        self.file = file
        self.lines: list[str] = []
        self.counts: Counter[str] = Counter()
        self.findings: list[str] = []
        self._clock, self._begin = clock, clock()
        self._writing = threading.Lock()
        file.write_text("")

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._begin

    def note(self, text: str) -> None:
        """Write a line."""
        line = f"{self.now:7.1f}  {text}"
        with self._writing:
            self.lines.append(line)
            with self.file.open("a") as opened:
                opened.write(f"{line}\n")

    def count(self, what: str) -> None:
        """One more of that."""
        with self._writing:
            self.counts[what] += 1

    def found(self, text: str) -> None:
        """Something that must never be; written once."""
        with self._writing:
            known = text in self.findings
            if not known:
                self.findings.append(text)
        if not known:
            self.note(f"FOUND: {text}")

    def about(self, words: Collection[str], last: int = 200) -> list[str]:
        """The last lines that have one of the words."""
        return [line for line in self.lines if any(word in line for word in words)][-last:]
