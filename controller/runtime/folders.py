"""The instances' folders on this node: one for each that has files or volumes on disk.

Responsible for a folder being there wholly or not at all, whatever crashes when, and for its end.
The engine mounts what is in it into containers, so it has to find it under the same path. It must
not know what the files are for; none of their content goes into an error.

    <root>/<uid>/owner.json          whose it is, for who finds it after a crash
    <root>/<uid>/<folder>/...        what containers mount
    <root>/.new-<uid>, .old-<uid>    being made, being removed

Only root gets beyond the root folder, so that what lies deeper may have any mode.
"""

import json
import logging
import os
import re
import threading
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from controller.runtime import tree
from controller.runtime.errors import FolderFault

logger = logging.getLogger(__name__)

_NEW: Final = ".new-"
_OLD: Final = ".old-"
_OWNER: Final = "owner.json"
_TURNS: Final = 64
_UID: Final = re.compile("[0-9A-Za-z][0-9A-Za-z-]{0,62}")


@dataclass(frozen=True)
class File:
    """A file: its path below the folder that it is in, and its permission bits."""

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o644


@dataclass(frozen=True)
class Folder:
    """A folder that a container mounts: its path below the instance's, and what is in it."""

    path: str
    mode: int = 0o755
    files: tuple[File, ...] = ()


@dataclass(frozen=True)
class FolderOwner:
    """The instance that a folder belongs to."""

    uid: str
    namespace: str
    name: str


class Folders:
    """All instances' folders below one root, which is made with the first of them.

    Methods block; those about one uid follow each other, also when they run in different threads.
    All raise FolderFault.
    """

    def __init__(self, root: Path) -> None:
        """Touches nothing yet."""
        self.root = root
        self._turns = [threading.Lock() for _ in range(_TURNS)]

    def path(self, uid: str) -> Path:
        """Where the instance's folder is, or would be. Raises ValueError for no uid."""
        if not _UID.fullmatch(uid):
            raise ValueError(f"{uid!r} is no uid for a folder: expected letters, digits and '-'")
        return self.root / uid

    def exists(self, uid: str) -> bool:
        """Whether anything is left to be removed, also by a removal that has failed."""
        return any(path.exists() for path in self._places(uid))

    def create(self, owner: FolderOwner, content: Iterable[Folder]) -> None:
        """Make the instance's folder, in place of one that is there.

        When it returns, all of it is on disk.
        """
        new = self._places(owner.uid)[1]
        with self._turn(owner.uid):
            try:
                self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._remove(owner.uid)
                new.mkdir(mode=0o700)
                marks = {"namespace": owner.namespace, "name": owner.name}
                _write(new, File(_OWNER, json.dumps(marks).encode(), 0o600))
                for folder in content:
                    _make(new, folder)
                _sync(new)
                new.rename(self.path(owner.uid))
                _sync(self.root)
            except OSError as error:
                raise _fault("written", self.path(owner.uid), error) from None

    def remove(self, uid: str) -> None:
        """Remove the instance's folder; done when there is none."""
        with self._turn(uid):
            try:
                self._remove(uid)
            except OSError as error:
                raise _fault("removed", self.path(uid), error) from None

    def owners(self, *, besides: Set[str] = frozenset()) -> list[FolderOwner]:
        """Whose the folders are that are there, but for these uids."""
        found = (self._owner(uid) for uid in self._uids() if uid not in besides)
        return [owner for owner in found if owner is not None]

    def sweep(self) -> None:
        """Remove what was being made or removed when an earlier process ended.

        To be called before any folder is made. What resists is logged, and left.
        """
        for half in (*self.root.glob(f"{_NEW}*"), *self.root.glob(f"{_OLD}*")):
            try:
                tree.remove(half)
            except OSError as error:
                logger.warning("%s", _fault("removed", half, error))

    def _uids(self) -> list[str]:
        try:
            return [name for name in os.listdir(self.root) if _UID.fullmatch(name)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _fault("listed", self.root, error) from None

    def _owner(self, uid: str) -> FolderOwner | None:
        """None for one that is being removed just now, or was not made by us."""
        try:
            marks = json.loads((self.root / uid / _OWNER).read_text())
            return FolderOwner(uid, str(marks["namespace"]), str(marks["name"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _places(self, uid: str) -> tuple[Path, Path, Path]:
        return self.path(uid), self.root / f"{_NEW}{uid}", self.root / f"{_OLD}{uid}"

    def _remove(self, uid: str) -> None:
        made, new, old = self._places(uid)
        for half in (new, old):
            if half.exists():
                tree.remove(half)
        if made.exists():
            made.rename(old)  # from now on it is nobody's, however far the removal comes
            tree.remove(old)

    @contextmanager
    def _turn(self, uid: str) -> Iterator[None]:
        """A task that is cancelled does not stop its thread: the next one on the uid waits."""
        with self._turns[hash(uid) % len(self._turns)]:
            yield


def _make(parent: Path, folder: Folder) -> None:
    path = parent / folder.path
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.mkdir()
    for file in folder.files:
        _write(path, file)
    path.chmod(folder.mode)
    _sync(path)


def _write(parent: Path, file: File) -> None:
    path = parent / file.path
    for above in reversed(path.relative_to(parent).parents[:-1]):
        if not (parent / above).is_dir():
            (parent / above).mkdir()
            (parent / above).chmod(0o755)
    with path.open("xb") as opened:
        opened.write(file.content)
        os.fchmod(opened.fileno(), file.mode)
        opened.flush()
        os.fsync(opened.fileno())


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _fault(what: str, path: Path, error: OSError) -> FolderFault:
    said = error.strerror or type(error).__name__
    # A container may have given it any name: what the API server does not take is escaped.
    name = ascii(os.path.basename(error.filename or ""))[:100]
    where = f" ({name})" if error.filename else ""
    return FolderFault(f"The folder {path} cannot be {what}: {said}{where}")
