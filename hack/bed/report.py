"""Progress for people: one line a stage, with its time, rewritten in place on a terminal."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


def clock_text(seconds: float) -> str:
    """A duration in seconds as `0.4 s`, `12 s` or `6:40`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Report:
    """Writes lines to a stream; knows whether it is a terminal."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._quiet = quiet
        self._terminal = self._stream.isatty()
        self._open_line = False

    def line(self, text: str) -> None:
        """Write one whole line."""
        if self._quiet:
            return
        self._clear()
        print(text, file=self._stream, flush=True)

    def progress(self, text: str) -> None:
        """Show a line that the next one replaces; nothing when the stream is no terminal."""
        if self._quiet or not self._terminal:
            return
        self._clear()
        self._stream.write(text)
        self._stream.flush()
        self._open_line = True

    @property
    def interval(self) -> float:
        """Seconds between two progress lines that suit the stream."""
        return 1.0 if self._terminal else 60.0

    @contextmanager
    def stage(self, text: str) -> Iterator[None]:
        """Time what is done inside and write one line for it at its end, also when it fails."""
        started = time.monotonic()
        self.progress(f"  ...  {text}")
        try:
            yield
        except BaseException:
            self.line(f"failed {clock_text(time.monotonic() - started):>6}  {text}")
            raise
        self.line(f"  ok   {clock_text(time.monotonic() - started):>6}  {text}")

    def _clear(self) -> None:
        if self._open_line:
            self._stream.write("\r\033[K")
            self._open_line = False
