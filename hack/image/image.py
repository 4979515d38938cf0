"""The image: its two layers, what it says of itself, and the docker-archive that holds it all."""

import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
import time
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hack.bed.cache import REPOSITORY, locked
from hack.bed.errors import BedError
from hack.bed.golang import go_architecture
from hack.bed.report import Report, clock_text
from hack.image import debian, python
from hack.image.base import base_layer
from hack.image.layer import Layer
from hack.image.mirrors import Mirrors
from hack.image.project import project_layer

ENTRYPOINT = ["/usr/bin/tini", "--", "challenge-controller"]
ENVIRONMENT = {
    "PATH": f"/{python.HOME}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONUNBUFFERED": "1",
    "PYTHONUTF8": "1",
    # The root file system is read-only, and the bytecode is there.
    "PYTHONDONTWRITEBYTECODE": "1",
    # In the host's PID namespace, where agents run, tini is not the process that inherits others.
    "TINI_SUBREAPER": "1",
}


@dataclass(frozen=True)
class Description:
    """What the image says of itself that its contents do not."""

    tag: str
    revision: str | None = None
    source: str = ""


def default_tag() -> str:
    """challenge-controller:VERSION."""
    project = _project()
    return f"{project['name']}:{project['version']}"


def write_image(
    output: Path,
    description: Description,
    mirrors: Mirrors,
    report: Report,
    *,
    fresh: bool = False,
) -> None:
    """Make the image and write it as a docker-archive. Raises BedError."""
    name, colon, tag = description.tag.rpartition(":")
    if not (name and colon and tag) or "/" in tag:
        raise BedError(
            f"--tag {description.tag!r} is no NAME:TAG, such as {default_tag()} or "
            f"registry.example.org/{default_tag()}"
        )
    if not output.parent.is_dir():
        raise BedError(f"--output {output}: there is no folder {output.parent}; make it first")
    started, created = time.monotonic(), _created()
    report.progress("waiting for another build of the image")
    with locked("image"), tempfile.TemporaryDirectory(prefix="image-") as scratch:
        base = base_layer(mirrors, report, fresh=fresh)
        layers = [base.layer, project_layer(base.root, Path(scratch), report)]
        part = output.with_name(f".{output.name}.{os.getpid()}")
        try:
            _write_archive(part, description.tag, _config(description, created, layers), layers)
            part.replace(output)
        finally:
            part.unlink(missing_ok=True)
    size, below = (path.stat().st_size / 1e6 for path in (output, base.layer.file))
    report.line(
        f"{output}: {description.tag}, {size:.1f} MB, of it {below:.1f} MB Debian and "
        f"dependencies, in {clock_text(time.monotonic() - started)}"
    )


def _config(description: Description, created: str, layers: list[Layer]) -> bytes:
    """The image's configuration (OCI image-spec, config.md)."""
    history = ("Debian's packages and the pinned dependencies", "challenge-controller")
    config: dict[str, Any] = {
        "architecture": go_architecture(python.machine()),
        "os": "linux",
        "created": created,
        "config": {
            "User": f"{debian.USER}:{debian.USER}",
            "Env": [f"{name}={value}" for name, value in ENVIRONMENT.items()],
            "Entrypoint": ENTRYPOINT,
            "WorkingDir": "/",
            "Labels": _labels(description),
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{each.sha256}" for each in layers]},
        "history": [{"created": created, "created_by": text} for text in history],
    }
    return json.dumps(config, indent=1, sort_keys=True).encode()


def _labels(description: Description) -> dict[str, str]:
    project = _project()
    revision = description.revision if description.revision is not None else _git_head()
    labels = {
        "title": project["name"],
        "description": project["description"],
        "version": project["version"],
        "licenses": project["license"],
        "revision": revision,
        "source": description.source,
    }
    return {f"org.opencontainers.image.{key}": text for key, text in labels.items() if text}


def _write_archive(file: Path, tag: str, config: bytes, layers: list[Layer]) -> None:
    """Write what `docker save` would: `manifest.json`, the configuration and the layers."""
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    paths = [f"{layer.sha256}/layer.tar" for layer in layers]
    manifest = json.dumps([{"Config": name, "RepoTags": [tag], "Layers": paths}]).encode()
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in (("manifest.json", manifest), (name, config)):
            member = tarfile.TarInfo(path)
            member.mode, member.size = 0o644, len(content)
            archive.addfile(member, io.BytesIO(content))
        for path, layer in zip(paths, layers, strict=True):
            member = tarfile.TarInfo(path)
            member.mode, member.size = 0o644, layer.file.stat().st_size
            with layer.file.open("rb") as content_file:
                archive.addfile(member, content_file)


def _created() -> str:
    """The time that the image bears: SOURCE_DATE_EPOCH, or the last commit's."""
    given = os.environ.get("SOURCE_DATE_EPOCH") or _git("log", "-1", "--format=%ct")
    if given and not given.isdecimal():
        raise BedError(f"SOURCE_DATE_EPOCH={given!r}: expected seconds since 1970")
    return datetime.fromtimestamp(int(given or 0), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _git_head() -> str:
    """The checkout's commit, with `-dirty` when it has changes; empty when it is none."""
    head = _git("rev-parse", "HEAD")
    return f"{head}-dirty" if head and _git("status", "--porcelain") else head


def _git(*words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(REPOSITORY), *words], capture_output=True, text=True, timeout=60
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return project
