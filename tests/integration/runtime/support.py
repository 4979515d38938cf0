"""What the tests of the runtime on a real engine share, apart from their fixtures."""

import io
import re
import shutil
import subprocess
import tarfile
import uuid
from collections.abc import Callable
from pathlib import Path

from controller.runtime.labels import Owner

NODE = "runtime-node"
PROGRAMS = ("bash", "cat", "sleep", "id", "mkdir", "touch", "timeout", "getent")

ForeignListener = Callable[[str, int], None]
Inside = Callable[[str, str], str]


def new_owner(installation: str) -> Owner:
    """An instance of that installation, unlike any other."""
    uid = str(uuid.uuid4())
    return Owner(installation, NODE, uid, "team-a", f"web-{uid[:4]}", "hash-1")


def shell_archive() -> bytes:
    """A root file system of this machine's programs, with the libraries that they load."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path in sorted(_files()):
            archive.add(path.resolve(), arcname=str(path).lstrip("/"))
        _folder(archive, "tmp", 0o1777)
        _folder(archive, "data", 0o777)
    return out.getvalue()


def _files() -> set[Path]:
    found: set[Path] = set()
    for name in PROGRAMS:
        where = shutil.which(name)
        assert where is not None
        found.add(Path("/bin") / name)
        listed = subprocess.run(["ldd", where], capture_output=True, text=True, check=True).stdout
        found.update(Path(path) for path in re.findall(r"(/\S+)", listed))
    return found


def _folder(archive: tarfile.TarFile, name: str, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.type = tarfile.DIRTYPE
    member.mode = mode
    archive.addfile(member)
