"""The image's lower layer: Debian, Python and the pinned dependencies; kept in the user's cache.

Its key is all that decides what is in it, but for the day on which Debian's packages were fetched:
who wants those of today asks for a fresh one.
"""

import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from hack.bed.cache import cache_folder, digest
from hack.bed.report import Report
from hack.image import debian, python
from hack.image.layer import Layer, contents_key, write_layer
from hack.image.mirrors import Mirrors

UNUSED = 14 * 86_400.0
"""Seconds after which a layer goes that nobody has asked for."""
STATE_FOLDER = "var/lib/challenge-controller"
# Half of the largest dependency, which no code of ours imports: its bytecode would be 30 MB.
_NOT_COMPILED = python.PACKAGES / "kubernetes" / "client"


@dataclass(frozen=True)
class Base:
    """The lower layer, and the folder of the Debian in it, whose Python can be run."""

    layer: Layer
    root: Path


def base_layer(mirrors: Mirrors, report: Report, *, fresh: bool = False) -> Base:
    """The lower layer; made when the cache has none, or a fresh one is asked for.

    The caller holds the lock `image`. Raises BedError when packages or wheels cannot be had.
    """
    target = cache_folder() / "image" / _key(mirrors)
    described = target / "layer.json"
    if fresh or not described.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=target.parent))
        try:
            _make(made, mirrors, report)
            shutil.rmtree(target, ignore_errors=True)
            made.rename(target)
        finally:
            shutil.rmtree(made, ignore_errors=True)
        _remove_unused(target.parent)
    os.utime(described)
    return Base(
        Layer(target / "layer.tar", json.loads(described.read_text())["sha256"]), target / "root"
    )


def _key(mirrors: Mirrors) -> str:
    """Changes whenever another layer could come out."""
    here = Path(__file__).parent
    sources = [here / f"{name}.py" for name in ("base", "debian", "layer", "python")]
    return digest(
        contents_key(*sources, python.CONSTRAINTS).encode(),
        mirrors.sources(debian.RELEASE, debian.KEYRING).encode(),
        "\n".join(python.requirements()).encode(),
        python.machine().encode(),
    )


def _remove_unused(folder: Path) -> None:
    """Remove layers that nobody has asked for in two weeks; each is as large as an image."""
    for described in folder.glob("*/layer.json"):
        if time.time() - described.stat().st_mtime > UNUSED:
            shutil.rmtree(described.parent, ignore_errors=True)


def _make(folder: Path, mirrors: Mirrors, report: Report) -> None:
    root, scratch = folder / "root", folder / "scratch"
    root.mkdir()
    scratch.mkdir()
    debian.unpack_packages(root, scratch, mirrors, report)
    shutil.rmtree(scratch)
    python.make_environment(root)
    (root / STATE_FOLDER).mkdir(parents=True)
    with report.stage("install the pinned dependencies"):
        python.install(root, ["--constraint", python.CONSTRAINTS, *python.requirements()])
    with report.stage("compile them"):
        sources = [*(root / "usr/lib").glob("python3*"), root / python.PACKAGES]
        files = [path for source in sources for path in source.rglob("*.py")]
        left_out = root / _NOT_COMPILED
        python.compile_files(root, root, (f for f in files if not f.is_relative_to(left_out)))
    with report.stage("write the base layer"):
        layer = write_layer(root, folder / "layer.tar")
    # Only Debian's own part is of use later: its Python compiles the code of the layer above.
    shutil.rmtree(root / python.HOME)
    (folder / "layer.json").write_text(json.dumps({"sha256": layer.sha256}))
