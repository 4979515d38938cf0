"""hack/bootstrap.sh: which environment a checkout's commands have."""

import os
import subprocess
import sys
import venv
from pathlib import Path

from hack.bed.cache import REPOSITORY

ONLY_ITS_FUNCTIONS = r"source <(sed '/^bootstrap ||/,$d' hack/bootstrap.sh); bootstrap_python"


def python_by(path: Path) -> str:
    """The interpreter that it takes when this folder is the first on the PATH."""
    return subprocess.run(
        ["bash", "-c", ONLY_ITS_FUNCTIONS],
        cwd=REPOSITORY,
        env=os.environ | {"PATH": f"{path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_a_command_that_another_one_calls_has_the_same_environment(tmp_path: Path) -> None:
    """The first one has put its own on the PATH: made of that, each would have one more."""
    venv.create(tmp_path, with_pip=False)
    made = tmp_path / "bin"
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if not (made / name).exists():
        (made / name).symlink_to(made / "python")
    assert not python_by(made).startswith(str(tmp_path))
