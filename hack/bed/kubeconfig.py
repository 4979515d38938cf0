"""Kubeconfig files, and kubectl called with one of them."""

import base64
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml

from hack.bed.certificates import KeyPair, write_private
from hack.bed.errors import BedError
from hack.bed.processes import run


def write_kubeconfig(
    path: Path, *, name: str, server: str, authority: Path, client: KeyPair
) -> None:
    """Write a kubeconfig with everything inline, readable by its owner only."""
    user = {
        "client-certificate-data": _inline(client.certificate),
        "client-key-data": _inline(client.key),
    }
    _write(path, name, server, authority, user)


def write_token_kubeconfig(
    path: Path, *, name: str, server: str, authority: Path, token_file: Path
) -> None:
    """Write a kubeconfig whose user has a token in another file."""
    _write(path, name, server, authority, {"tokenFile": str(token_file)})


def _write(path: Path, name: str, server: str, authority: Path, user: dict[str, str]) -> None:
    cluster = {"server": server, "certificate-authority-data": _inline(authority)}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    write_private(path, yaml.safe_dump(content, sort_keys=False).encode())


class Kubectl:
    """kubectl with one kubeconfig; leaves nothing in the user's own ~/.kube."""

    def __init__(self, program: Path, kubeconfig: Path, cache: Path) -> None:
        self._program = program
        self._env: Mapping[str, str] = os.environ | {
            "KUBECONFIG": str(kubeconfig),
            "KUBECACHEDIR": str(cache),
        }

    def __call__(
        self,
        *args: str | Path,
        input: str | None = None,
        check: bool = True,
        timeout: float = 120,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl; raises ProgramFailed unless it ends with 0 or `check` is false.

        `env` goes over the environment that it has anyway.
        """
        whole = {**self._env, **(env or {})}
        return run(self._program, *args, stdin=input, env=whole, check=check, timeout=timeout)


def copy_current(program: Path, target: Path) -> Path:
    """Write down, whole and for its owner only, the kubeconfig that kubectl uses now.

    Raises BedError when there is none.
    """
    view = run(program, "config", "view", "--minify", "--flatten", "--raw", check=False)
    if view.returncode != 0:
        raise BedError(
            f"no current cluster: {view.stderr.strip()}; set KUBECONFIG, or leave out "
            "--use-current-cluster to have a control plane started"
        )
    write_private(target, view.stdout.encode())
    return target


def current_server(kubeconfig: Path) -> str:
    """The URL of the API server that a kubeconfig names."""
    server: str = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    return server


def _inline(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
