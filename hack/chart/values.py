"""The chart's values.yaml as it is written: each value with its path, default and comment.

The comment above a key is its description, wherever it goes from there.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

CHART: Final = Path(__file__).resolve().parents[2] / "charts" / "challenge-controller"
_LINE: Final = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z][A-Za-z0-9]*):(?: |$)")


@dataclass(frozen=True)
class Value:
    """A value that can be set: `path` by dots, `default` as in values.yaml."""

    path: str
    default: Any
    description: str


def read(text: str | None = None) -> list[Value]:
    """All values in the order of the file.

    Raises ValueError when one has no comment.
    """
    text = (CHART / "values.yaml").read_text() if text is None else text
    defaults = yaml.safe_load(text)
    found = list(_commented(text))
    parents = {path.rpartition(".")[0] for path, _ in found}
    values = []
    for path, comment in found:
        if path in parents:
            continue
        if not comment:
            raise ValueError(f"values.yaml: {path} has no comment above it")
        default = defaults
        for key in path.split("."):
            default = default[key]
        values.append(Value(path, default, comment))
    return values


def _commented(text: str) -> Iterator[tuple[str, str]]:
    """Yield the path of each key that is described, or holds such, with its comment."""
    comment: list[str] = []
    above: list[tuple[int, str]] = []
    inside: int | None = None
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("#"):
            comment.append(bare.lstrip("#").strip())
            continue
        match = _LINE.match(line)
        if match is None:
            comment = []
            continue
        indent = len(match["indent"])
        if inside is not None and indent > inside:
            continue  # what a described value holds by default
        above = [(depth, key) for depth, key in above if depth < indent]
        above.append((indent, match["key"]))
        # A section without a comment holds described values; one with a comment is a value itself.
        inside = indent if comment else None
        yield ".".join(key for _, key in above), " ".join(comment)
        comment = []
