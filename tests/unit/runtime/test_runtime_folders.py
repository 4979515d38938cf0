"""The instances' folders: there wholly or not at all, with the modes asked for, and gone after."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.runtime import tree
from controller.runtime.errors import FolderFault
from controller.runtime.folders import File, Folder, FolderOwner, Folders

OWNER = FolderOwner("uid-1", "team", "web")
CONTENT = (
    Folder("volumes/data", 0o777),
    Folder("identity/web", 0o755, (File("flag", b"flag{1}", 0o400), File("a/b/c", b"\xff", 0o666))),
)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "state" / "instances")


@pytest.fixture(autouse=True)
def odd_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_folder_has_what_was_asked_for_and_is_nobody_elses_to_enter(folders: Folders) -> None:
    folders.create(OWNER, CONTENT)
    made = folders.path("uid-1")
    assert (made / "identity/web/flag").read_bytes() == b"flag{1}"
    assert (made / "identity/web/a/b/c").read_bytes() == b"\xff"
    assert [mode(made / p) for p in ("volumes/data", "identity/web", "identity/web/a")] == [
        *(0o777, 0o755, 0o755)
    ]
    assert [mode(made / p) for p in ("identity/web/flag", "identity/web/a/b/c")] == [0o400, 0o666]
    assert [mode(p) for p in (folders.root, made, made / "volumes")] == [0o700, 0o700, 0o700]
    assert folders.owners() == [OWNER]
    assert folders.owners(besides={"uid-1"}) == []


def test_one_that_is_made_again_is_clean(folders: Folders) -> None:
    folders.create(OWNER, CONTENT)
    (folders.path("uid-1") / "volumes/data/file").touch()
    folders.create(OWNER, CONTENT)
    assert list((folders.path("uid-1") / "volumes/data").iterdir()) == []
    assert os.listdir(folders.root) == ["uid-1"]


def test_a_removal_leaves_nothing_and_can_be_repeated(folders: Folders) -> None:
    assert not folders.exists("uid-1")
    folders.remove("uid-1")
    folders.create(OWNER, CONTENT)
    assert folders.exists("uid-1")
    folders.remove("uid-1")
    folders.remove("uid-1")
    assert not folders.exists("uid-1")
    assert os.listdir(folders.root) == []
    assert folders.owners() == []


@pytest.mark.parametrize("half", [".new-uid-1", ".old-uid-1"])
def test_half_of_one_is_told_swept_and_in_nobodys_way(folders: Folders, half: str) -> None:
    (folders.root / half / "volumes").mkdir(parents=True)
    assert folders.exists("uid-1")
    assert folders.owners() == []
    folders.create(OWNER, CONTENT)
    assert os.listdir(folders.root) == ["uid-1"]
    (folders.root / half / "volumes").mkdir(parents=True)
    folders.sweep()
    assert os.listdir(folders.root) == ["uid-1"]
    (folders.root / half).mkdir()
    folders.remove("uid-1")
    assert os.listdir(folders.root) == []


def test_a_write_that_fails_is_told_without_content_and_leaves_no_folder(folders: Folders) -> None:
    twice = Folder("identity/web", 0o755, (File("x", b"secret"), File("x/y", b"secret")))
    with pytest.raises(FolderFault, match=r"uid-1 cannot be written: File exists .*'x'") as caught:
        folders.create(OWNER, (twice,))
    assert "secret" not in str(caught.value)
    assert not folders.path("uid-1").exists()
    folders.remove("uid-1")
    assert os.listdir(folders.root) == []


def test_a_removal_that_fails_is_tried_again(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders.create(OWNER, CONTENT)

    def refuse(folder: Path) -> None:
        raise PermissionError(1, "Operation not permitted", "na\udcffme")

    with monkeypatch.context() as patched:
        patched.setattr(tree, "remove", refuse)
        with pytest.raises(FolderFault, match="cannot be removed: Operation not permitted") as told:
            folders.remove("uid-1")
    str(told.value).encode()  # the API server takes it
    assert folders.exists("uid-1")
    folders.remove("uid-1")
    assert not folders.exists("uid-1")


@pytest.mark.parametrize("uid", ["", "..", "../x", "a/b", ".new-x"])
def test_what_is_no_uid_gets_no_folder(folders: Folders, uid: str) -> None:
    with pytest.raises(ValueError, match="is no uid"):
        folders.path(uid)


def test_contents_are_not_shown(folders: Folders) -> None:
    assert "flag{1}" not in repr(CONTENT)
