"""The user's folders: what is built once and kept (cache), what runs now (state).

Several checkouts and several commands at once share them, so everything in the cache is written
under a lock, beside its final name, and then renamed.
"""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def cache_folder() -> Path:
    """Where things that can be built again are kept, by the XDG convention."""
    return _user_folder("XDG_CACHE_HOME", ".cache")


def state_folder() -> Path:
    """Where the beds that people start live, by the XDG convention."""
    return _user_folder("XDG_STATE_HOME", ".local/state")


def temporary_folder() -> Path:
    """Where the beds of tests live: they go with the program that started them."""
    return Path(tempfile.gettempdir()) / f"challenge-controller-{os.getuid()}"


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock of this name among all programs of this user; it goes with the process."""
    path = cache_folder() / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def digest(*parts: bytes) -> str:
    """A short key of some contents: the first 12 hexadecimal digits of their SHA-256."""
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "big"))
        total.update(part)
    return total.hexdigest()[:12]


def _user_folder(variable: str, default: str) -> Path:
    base = os.environ.get(variable)
    # The XDG convention: a path that is not absolute is to be ignored.
    root = Path(base) if base and Path(base).is_absolute() else Path.home() / default
    return root / "challenge-controller"
