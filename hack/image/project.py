"""The image's upper layer: the project's own code, as its wheel installs it."""

import os
import shutil
import sys
from pathlib import Path

from hack.bed.cache import REPOSITORY, cache_folder, locked
from hack.bed.processes import run
from hack.bed.report import Report
from hack.image import python
from hack.image.layer import Layer, write_layer

# What builds the wheel. Here, not among the requirements: nothing that runs needs it.
SETUPTOOLS = "setuptools==84.2.1"
SOURCES = ("controller", "pyproject.toml", "README.md", "LICENSE")
# -I: no variable and no folder of the user's says which modules are loaded.
_PROGRAM = f"""\
#!/{python.HOME}/bin/python -I
import sys
from controller.__main__ import main
sys.exit(main())
"""


def project_layer(base: Path, scratch: Path, report: Report) -> Layer:
    """The upper layer, written into the folder `scratch`; `base` is the lower one's folder.

    Raises BedError when the wheel cannot be built.
    """
    root = scratch / "root"
    with report.stage("build the project's wheel"):
        wheel = _wheel(scratch)
        (root / python.PACKAGES).mkdir(parents=True)
        # By its name: of a file that it is given by its path, pip notes the path.
        name = wheel.name.partition("-")[0]
        words = ("--no-index", "--find-links", wheel.parent, "--no-deps", name)
        python.install(root, words)
        program = root / python.HOME / "bin" / "challenge-controller"
        program.parent.mkdir()
        program.write_text(_PROGRAM)
        program.chmod(0o755)
        python.compile_files(base, root, (root / python.PACKAGES).rglob("*.py"))
    return write_layer(root, scratch / "project.tar")


def _wheel(scratch: Path) -> Path:
    """The wheel of this checkout, built beside it: setuptools leaves its traces where it works."""
    source, target = scratch / "source", scratch / "wheel"
    source.mkdir()
    for name in SOURCES:
        path = REPOSITORY / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source / name)
    words = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", target)
    env = os.environ | {"PYTHONPATH": str(_setuptools()), "SOURCE_DATE_EPOCH": "315532800"}
    run(sys.executable, "-m", "pip", *words, source, env=env, timeout=300)
    return next(target.glob("*.whl"))


def _setuptools() -> Path:
    folder = cache_folder() / "image" / SETUPTOOLS.replace("==", "-")
    with locked("image"):
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            made = folder.with_suffix(".part")
            shutil.rmtree(made, ignore_errors=True)
            run(
                *(sys.executable, "-m", "pip", "install", "--quiet"),
                *("--disable-pip-version-check", "--target", made, SETUPTOOLS),
                timeout=600,
            )
            made.rename(folder)
    return folder
