"""Seccomp profiles as the engine takes them: our own stricter one, and files of the operator's.

Responsible for finding a profile and for keeping its text ready, small, for the next launch. It
must not know which container gets which, and does not judge what a profile allows: the README
beside it says what ours does.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

MAX_BYTES: Final = 1024 * 1024
"""The largest file taken for a profile; the engine's own has 12 KiB."""
_OWN: Final = Path(__file__).parent / "challenge-default.json"


class ProfileError(Exception):
    """A profile cannot be had; the text names the file and says what was expected."""


@dataclass
class Profiles:
    """The texts of profiles by file, each read again only when its file has changed."""

    _texts: dict[Path, tuple[tuple[int, int], str]] = field(default_factory=dict)

    def challenge_default(self) -> str:
        """Our own profile, stricter than the engine's."""
        return self._text(_OWN)

    def localhost(self, folder: Path, name: str) -> str:
        """The operator's profile of that file name.

        Raises ProfileError when there is none, or when it is no profile.
        """
        return self._text(folder / name)

    def _text(self, path: Path) -> str:
        try:
            state = path.stat()
            version = (state.st_mtime_ns, state.st_size)
            kept = self._texts.get(path)
            if kept is None or kept[0] != version:
                kept = self._texts[path] = (version, _read(path, state.st_size))
        except OSError as error:
            raise ProfileError(
                f"the seccomp profile {path} cannot be read: {error.strerror}; expected a file "
                "with a profile in Docker's form, on each node"
            ) from None
        return kept[1]


def _read(path: Path, size: int) -> str:
    if size > MAX_BYTES:
        raise ProfileError(
            f"the seccomp profile {path} has {size} bytes; expected at most {MAX_BYTES}"
        )
    try:
        profile = json.loads(path.read_bytes())
    except ValueError as error:
        raise ProfileError(f"the seccomp profile {path} is no JSON: {error}") from None
    if problem := _problem(profile):
        raise ProfileError(f"the seccomp profile {path} is none: {problem}")
    # The engine parses it at each create and keeps a copy with each container.
    for rule in profile["syscalls"]:
        rule.pop("comment", None)
    return json.dumps(profile, separators=(",", ":"))


def _problem(profile: Any) -> str:
    if not isinstance(profile, dict):
        return "expected a JSON object"
    if not isinstance(profile.get("defaultAction"), str):
        return "expected defaultAction, such as SCMP_ACT_ERRNO"
    rules = profile.get("syscalls")
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        return "expected syscalls, a list of rules"
    return ""
