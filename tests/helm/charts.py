"""The chart as it is, a chart before it, and the values that a node of a bed needs."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from hack.bed.bed import Bed
from hack.bed.cache import REPOSITORY

CHART = REPOSITORY / "charts" / "challenge-controller"
PREVIOUS_VERSION = "0.0.1"
NEW_FIELD = "onExpiry"
"""A field of instances that the previous chart's definitions do not know."""
SOCKETS = "sockets"
"""A folder of the node's engine that holds its socket and nothing else, as /var/run does."""


def previous_chart(folder: Path) -> Path:
    """A chart with an older version, whose definition of instances lacks a field of today's.

    There has been no release yet: this stands for one.
    """
    chart = folder / "previous" / CHART.name
    shutil.copytree(CHART, chart)
    about = chart / "Chart.yaml"
    written = yaml.safe_load(about.read_text())
    about.write_text(yaml.safe_dump(written | {"version": PREVIOUS_VERSION}))
    definition = chart / "templates" / "crds" / "challengeinstances.yaml"
    definition.write_text(without_field(definition.read_text(), NEW_FIELD))
    return chart


def without_field(text: str, name: str) -> str:
    """YAML without the one mapping of this name: its line, and those that are further in."""
    kept: list[str] = []
    depth: int | None = None
    for line in text.splitlines(keepends=True):
        indent = len(line) - len(line.lstrip(" "))
        if depth is not None and indent > depth:
            continue
        depth = indent if line.strip() == f"{name}:" else None
        if depth is None:
            kept.append(line)
    assert len(kept) < len(text.splitlines()), f"there is no {name}"
    return "".join(kept)


def values(bed: Bed, installation: str = "default", *, metrics_port: int = 9410) -> dict[str, Any]:
    """What a release of an installation needs on the bed's node.

    Ports and subnets are the defaults, for each of them: installations on one engine share these.
    """
    engine = bed.node().engine
    assert engine.folder is not None
    return {
        "installation": installation,
        "agent": {
            "docker": {
                "socketDir": str(engine.folder / SOCKETS),
                "dataRoot": str(engine.folder / "data"),
            },
            "metricsPort": metrics_port,
            # Below the cgroup of the bed's engine, which goes with it.
            "settings": {"cgroupParent": f"{engine.namespace}/challenges-{installation}"},
            "stateDir": str(bed.state.folder / "state" / installation),
        },
        "testInstance": {"image": "challenge-echo:dev", "port": 8080, "protocol": "http"},
    }
