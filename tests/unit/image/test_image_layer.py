"""A layer is the same bytes wherever and whenever it is made."""

import os
import tarfile
from pathlib import Path

from hack.image.layer import contents_key, write_layer


def make(folder: Path, *, mode: int, time: int) -> None:
    (folder / "bin").mkdir(parents=True)
    for name in ("b", "a"):
        file = folder / "bin" / name
        file.write_text(name)
        file.chmod(mode)
        os.utime(file, (time, time))
    (folder / "bin" / "c").symlink_to("a")
    os.link(folder / "bin" / "a", folder / "bin" / "d")
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o1777)


def test_neither_order_nor_times_nor_rights_of_the_machine_show(tmp_path: Path) -> None:
    make(tmp_path / "one", mode=0o4750, time=1)
    make(tmp_path / "other", mode=0o711, time=1_000_000_000)
    one = write_layer(tmp_path / "one", tmp_path / "one.tar")
    other = write_layer(tmp_path / "other", tmp_path / "other.tar")
    assert one.sha256 == other.sha256
    assert one.file.read_bytes() == other.file.read_bytes()
    with tarfile.open(one.file) as archive:
        found = {member.name: member for member in archive}
        assert list(found) == ["bin", "bin/a", "bin/b", "bin/c", "bin/d", "tmp"]
        assert {(m.uid, m.gid, m.uname, m.mtime) for m in found.values()} == {(0, 0, "", 0)}
        assert (found["bin/a"].mode, found["tmp"].mode) == (0o755, 0o1777)
        assert found["bin/c"].linkname == "a"
        second_name = archive.extractfile("bin/d")
        assert second_name is not None
        assert second_name.read() == b"a"


def test_a_key_changes_with_names_and_contents_and_not_with_bytecode(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    file = tmp_path / "code" / "one.py"
    file.write_text("1")
    before = contents_key(tmp_path / "code")
    (tmp_path / "code" / "__pycache__").mkdir()
    (tmp_path / "code" / "__pycache__" / "one.pyc").write_text("x")
    assert contents_key(tmp_path / "code") == before
    file.write_text("2")
    changed = contents_key(tmp_path / "code")
    file.rename(file.with_name("two.py"))
    assert len({before, changed, contents_key(tmp_path / "code")}) == 3
