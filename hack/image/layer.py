"""A layer of the image: a folder as a tar file, the same bytes for the same contents."""

import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import Path

from hack.bed.cache import digest


@dataclass(frozen=True)
class Layer:
    """A tar file and the SHA-256 of what is in it, in hexadecimal."""

    file: Path
    sha256: str


def write_layer(folder: Path, file: Path) -> Layer:
    """Write the folder's contents as a layer: sorted, root's, of the time 0."""
    with tarfile.open(file, "w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(folder.rglob("*")):
            member = archive.gettarinfo(path, path.relative_to(folder).as_posix())
            # Two names of a file are two files in it: which is the first depends on the machine.
            if member.islnk():
                member.type, member.size = tarfile.REGTYPE, path.stat().st_size
            _make_anybodys(member)
            if member.isreg():
                with path.open("rb") as content:
                    archive.addfile(member, content)
            else:
                archive.addfile(member)
    return Layer(file, _sha256(file))


def contents_key(*paths: Path) -> str:
    """Changes with the names and contents of the files, and of those in the folders, given."""
    parts: list[bytes] = []
    for top in paths:
        found = sorted(path for path in top.rglob("*") if path.is_file()) if top.is_dir() else [top]
        for path in found:
            if "__pycache__" not in path.parts:
                name = path.relative_to(top.parent).as_posix()
                parts += [name.encode(), path.read_bytes()]
    return digest(*parts)


def _make_anybodys(member: tarfile.TarInfo) -> None:
    """Take off what tells one build from another, and what no file of an image needs."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    if member.issym():
        member.mode = 0o777
    elif member.isreg():
        # No program here gives its user the rights of another.
        member.mode = 0o755 if member.mode & 0o111 else 0o644
    elif member.name != "tmp":
        member.mode = 0o755


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
