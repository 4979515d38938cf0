"""A folder that somebody hostile has filled: measured and removed, and nothing beside it."""

import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.runtime import tree

PLENTY = 2**40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "volume"
    made.mkdir()
    return made


def nested(top: Path, depth: int) -> None:
    """Folders in each other, a file in the last, deeper than any path can be long."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("0123456789", dir_fd=here)
        inner = os.open("0123456789", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=here))
    os.close(here)


def fix(path: Path, flags: int) -> None:
    """chattr(1)."""
    opened = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(opened, 0x40086602, struct.pack("l", flags))
    finally:
        os.close(opened)


def test_what_is_on_disk_is_counted(folder: Path) -> None:
    assert tree.usage(folder, PLENTY) == 0
    (folder / "inner").mkdir()
    (folder / "inner" / "file").write_bytes(b"x" * 100_000)
    with (folder / "holes").open("wb") as holes:
        holes.truncate(2**30)
    used = tree.usage(folder, PLENTY)
    assert used is not None
    assert 100_000 < used < 200_000


def test_what_has_two_names_counts_once(folder: Path) -> None:
    (folder / "file").write_bytes(b"x" * 100_000)
    before = tree.usage(folder, PLENTY)
    os.link(folder / "file", folder / "again")
    assert tree.usage(folder, PLENTY) == before


def test_empty_files_count_too(folder: Path) -> None:
    for number in range(50):
        (folder / str(number)).touch()
    assert tree.usage(folder, PLENTY) == 50 * 1024
    assert tree.usage(folder, 10_000) == 10 * 1024, "it looks no further than it must"


def test_nothing_outside_is_counted_or_removed(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"x" * 1_000_000)
    (folder / "link").symlink_to(outside)
    used = tree.usage(folder, PLENTY)
    assert used is not None
    assert used < 10_000
    tree.remove(folder)
    assert not folder.exists()
    assert (outside / "file").exists()
    link = tmp_path / "itself"
    link.symlink_to(outside)
    with pytest.raises(OSError, match="Not a directory"):
        tree.remove(link)
    assert (outside / "file").exists()


def test_what_cannot_be_measured_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nested(folder, tree.MOST_DEPTH + 1)
    assert tree.usage(folder, PLENTY) is None
    tree.remove(folder)
    folder.mkdir()
    monkeypatch.setattr(tree, "MOST_ENTRIES", 3)
    for number in range(4):
        (folder / str(number)).touch()
    assert tree.usage(folder, PLENTY) is None


def test_folders_of_any_depth_are_removed(folder: Path) -> None:
    nested(folder, 500)
    (folder / "0123456789" / "beside").write_text("x")
    tree.remove(folder)
    assert not folder.exists()
    tree.remove(folder)


@pytest.mark.parametrize(
    "what", [lambda f: f / "inner" / "file", lambda f: f / "inner", lambda f: f / "inner" / "deep"]
)
@pytest.mark.parametrize("flag", [0x10, 0x20])
def test_what_was_made_immutable_is_removed(
    folder: Path, what: Callable[[Path], Path], flag: int
) -> None:
    (folder / "inner" / "deep" / "deeper").mkdir(parents=True)
    (folder / "inner" / "file").touch()
    try:
        fix(what(folder), flag)
    except OSError as error:
        pytest.skip(f"no such flags here: {error}")
    tree.remove(folder)
    assert not folder.exists()


def test_pipes_and_odd_names_are_removed(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    os.close(os.open(os.fsencode(folder) + b"/\xff\n", os.O_WRONLY | os.O_CREAT))
    assert tree.usage(folder, PLENTY) == 2048
    tree.remove(folder)
    assert not folder.exists()
