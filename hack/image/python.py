"""The part of the image that is Python's: wheels laid out in a folder, and bytecode beside them.

The wheels are those that fit the image's own Python, whichever runs this. The bytecode is made by
the image's own Python, started from the folder that the image is made in.
"""

import os
import shutil
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from hack.bed.cache import REPOSITORY
from hack.bed.errors import BedError
from hack.bed.processes import run
from hack.image.debian import PYTHON

HOME = Path("opt/challenge-controller")
PACKAGES = HOME / "lib" / PYTHON / "site-packages"
CONSTRAINTS = REPOSITORY / "hack" / "constraints.txt"
# The machine, and the program with which its Linux starts others.
_LOADERS = {"x86_64": "lib64/ld-linux-x86-64.so.2", "aarch64": "lib/ld-linux-aarch64.so.1"}
_GLIBC = 36
"""The release's C library is 2.36."""


def machine() -> str:
    """This machine's type, which is the image's too. Raises BedError when no wheels are for it."""
    name = os.uname().machine
    if name not in _LOADERS:
        raise BedError(f"the image is made on x86_64 and aarch64, this machine is {name}")
    return name


def requirements() -> list[str]:
    """What the project needs to run, as pip takes it."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return list(project["dependencies"])


def install(root: Path, words: Iterable[str | Path]) -> None:
    """Have pip lay out wheels in the image's folder of packages; `words` say which."""
    version = PYTHON.removeprefix("python")
    platforms = [f"manylinux_2_{minor}_{machine()}" for minor in range(17, _GLIBC + 1)]
    platforms.append(f"manylinux2014_{machine()}")
    target = root / PACKAGES
    run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-compile", "--only-binary", ":all:", "--implementation", "cp"),
        *("--python-version", version, "--abi", f"cp{version.replace('.', '')}", "--abi", "abi3"),
        *("--abi", "none", *(word for each in platforms for word in ("--platform", each))),
        *("--target", target, *words),
        timeout=900,
    )
    # The programs name the Python that runs here. sqlite-utils brings pip along, unpinned, for its
    # own command that installs plugins: an image that is never written to installs nothing.
    for left in (target / "bin", target / "pip", *target.glob("pip-*.dist-info")):
        shutil.rmtree(left, ignore_errors=True)


def make_environment(root: Path) -> None:
    """A virtual environment of the image's own Python, without the packages in it."""
    (root / PACKAGES).mkdir(parents=True)
    folder = root / HOME / "bin"
    folder.mkdir()
    (folder / "python").symlink_to(f"/usr/bin/{PYTHON}")
    (root / HOME / "pyvenv.cfg").write_text(
        "home = /usr/bin\ninclude-system-site-packages = false\n"
    )


def compile_files(base: Path, root: Path, files: Iterable[Path]) -> None:
    """Have the Python of the folder `base` compile files below `root`, which is `/` to them.

    The same sources give the same bytecode: it is made by one process in a fixed order, and bears
    their hash, which nobody checks since they cannot change, in place of a time.
    """
    loader = base / _LOADERS[machine()]
    libraries = base / "usr/lib" / f"{machine()}-linux-gnu"
    run(
        *(loader, "--library-path", libraries, base / "usr/bin" / PYTHON),
        # -B: bytecode of what it imports itself would name the folder on this machine.
        *("-B", "-S", "-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash"),
        *("-s", root, "-p", "/", "-i", "-"),
        stdin="".join(f"{path}\n" for path in sorted(files)),
        env={"PYTHONHOME": str(base / "usr"), "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"},
        timeout=600,
    )
