"""`challenge-controller` on a machine whose clock jumps: each "now" is shifted as a file says.

To be started in the controller's place (`module="hack.bed.skewed"`). The file lies beside the state
folder; without one nothing is shifted. Time that passes is not touched, as by a real clock's jump.
"""

import os
import sys
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

MODULE = "hack.bed.skewed"


def shift_file(state_dir: Path) -> Path:
    """The file with the seconds by which the clock of the controller of a state folder is off."""
    return state_dir.with_name(f"{state_dir.name}.clock")


def set_shift(state_dir: Path, seconds: int) -> None:
    """Have the clock jump: to that many seconds before (negative) or after the machine's."""
    target = shift_file(state_dir)
    half = target.with_suffix(".new")
    half.write_text(str(seconds))
    half.replace(target)


class _AnyDatetime(type):
    """What the modules are left with still knows the plain times that others make."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, datetime)


class Skewed(datetime, metaclass=_AnyDatetime):
    """A datetime whose `now` is shifted."""

    source: Path

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override] # a plain one
        """The machine's time and the shift."""
        return datetime.now(tz) + timedelta(seconds=_shift(cls.source))


def _shift(source: Path) -> int:
    try:
        return int(source.read_text())
    except FileNotFoundError:
        return 0


def install(state_dir: Path) -> list[str]:
    """Shift the clock of every module of the controller that is imported; returns their names."""
    Skewed.source = shift_file(state_dir)
    found = [
        module
        for name, module in sys.modules.items()
        if name.partition(".")[0] == "controller" and vars(module).get("datetime") is datetime
    ]
    for module in found:
        vars(module)["datetime"] = Skewed
    return [module.__name__ for module in found]


def main() -> None:
    """The command, shifted."""
    from controller.__main__ import main as command

    install(Path(os.environ["CHALLENGE_STATE_DIR"]))
    command()


if __name__ == "__main__":
    main()
