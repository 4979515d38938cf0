"""The image's lower layer: Debian, Python and the pinned dependencies; kept in the user's cache.

Its key is all that decides what is in it, but for the day on which Debian's packages were fetched:
who wants those of today asks for a fresh one.
"""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hack.bed.cache import cache_folder, digest, locked
from hack.bed.report import Report
from hack.image import debian, python
from hack.image.layer import Layer, contents_key, write_layer

STATE_FOLDER = "var/lib/challenge-controller"
# Half of the largest dependency, which no code of ours imports: its bytecode would be 30 MB.
_NOT_COMPILED = python.PACKAGES / "kubernetes" / "client"


@dataclass(frozen=True)
class Base:
    """The lower layer, and the folder of the Debian in it, whose Python can be run."""

    layer: Layer
    root: Path


def base_layer(mirrors: debian.Mirrors, report: Report, *, fresh: bool = False) -> Base:
    """The lower layer; made when the cache has none, or a fresh one is asked for.

    Raises BedError when packages or wheels cannot be had.
    """
    key = digest(
        contents_key(*sorted(Path(__file__).parent.glob("*.py")), python.CONSTRAINTS).encode(),
        mirrors.sources().encode(),
        "\n".join(python.requirements()).encode(),
        python.machine().encode(),
    )
    target = cache_folder() / "image" / key
    report.progress("waiting for another build of the image")
    with locked("image"):
        if fresh or not (target / "layer.json").exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(dir=target.parent))
            try:
                _make(made, mirrors, report)
                shutil.rmtree(target, ignore_errors=True)
                made.rename(target)
            finally:
                shutil.rmtree(made, ignore_errors=True)
    sha256 = json.loads((target / "layer.json").read_text())["sha256"]
    return Base(Layer(target / "layer.tar", sha256), target / "root")


def _make(folder: Path, mirrors: debian.Mirrors, report: Report) -> None:
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
