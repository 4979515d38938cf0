"""`kubectl challenge` as people call it: by kubectl, which finds the plugin on the PATH."""

import os
import subprocess
from pathlib import Path
from subprocess import PIPE

from hack.bed.cache import REPOSITORY
from hack.bed.programs import find_kubectl
from hack.bed.report import Report


class Plugin:
    """`kubectl challenge` with a kubeconfig, the plugin's scripts on the PATH."""

    def __init__(self, kubeconfig: Path, cache: Path) -> None:
        self._program = str(find_kubectl(Report()))
        path = f"{REPOSITORY / 'hack' / 'plugin'}{os.pathsep}{os.environ['PATH']}"
        self._env = os.environ | {
            "PATH": path,
            "KUBECONFIG": str(kubeconfig),
            "KUBECACHEDIR": str(cache),
        }

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Call it and go on."""
        command = [self._program, *words]
        return subprocess.Popen(
            command, env=self._env, text=True, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )

    def __call__(
        self, *words: str, answer: str = "", timeout: float = 120
    ) -> "subprocess.CompletedProcess[str]":
        """Call it and wait for its end."""
        with self.start("challenge", *words) as child:
            output, errors = child.communicate(answer, timeout=timeout)
        assert "Traceback" not in errors
        return subprocess.CompletedProcess(words, child.returncode, output, errors)
