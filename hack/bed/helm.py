"""Helm called with one kubeconfig; leaves nothing in the user's own folders."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from hack.bed.processes import run


class Helm:
    """Helm as the user of a kubeconfig, with its cache and settings in a folder of the bed's."""

    def __init__(self, program: Path, kubeconfig: Path, folder: Path) -> None:
        self._program = program
        self._env: Mapping[str, str] = os.environ | {
            "KUBECONFIG": str(kubeconfig),
            "HELM_CACHE_HOME": str(folder / "cache"),
            "HELM_CONFIG_HOME": str(folder / "config"),
            "HELM_DATA_HOME": str(folder / "data"),
        }

    def __call__(
        self, *args: str | Path, input: str | None = None, check: bool = True, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run Helm; raises ProgramFailed unless it ends with 0 or `check` is false."""
        return run(self._program, *args, stdin=input, env=self._env, check=check, timeout=timeout)
