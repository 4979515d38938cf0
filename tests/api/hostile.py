"""Values that nobody sends by accident, and the places of a manifest that they can be put in.

Must not know any field by name: a full manifest says what there is.
"""

import copy
from collections.abc import Iterator
from random import Random
from typing import Any, Final

from tests.api.manifests import Manifest

GONE: Final = "(taken away)"
"""As a value: take the field away."""

TEXTS: Final = (
    "",
    " ",
    "\x00",
    "\x1b[2J",
    "a\nb",
    "a\r\nHost: b",
    "\x7f",
    "\u2028",
    "\u202ered",
    "\ufeffweb",
    "w\u0435b",  # the letter in the middle is Cyrillic
    "\uff57\uff45\uff42",
    "İ",
    "e\u0301",
    "🙂",
    "\U0010ffff",
    "\\ud800",
    "../../etc/passwd",
    "/proc/self/root",
    "/run/challenge",
    "/",
    "//",
    "C:\\",
    "$(reboot)",
    "`id`",
    "; rm -rf /",
    "a && b",
    "%s%n%p",
    "{{7*7}}",
    "<script>",
    "' OR 1=1 --",
    "$(PATH)",
    "${PATH}",
    "-",
    "--privileged",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e3",
    "0x10",
    "1_000",
    "٣",
    "-1",
    "+1",
    "00",
    "0",
    "true",
    "null",
    "1h",
    "99999h",
    "99999h99999m99999s",
    "-5m",
    "1Ei",
    "999999999999999Ti",
    "0.0001",
    "2026-01-31T12:00:00Z",
    "2026-02-30T12:00:00Z",
    "2026-01-31T24:00:00Z",
    "2026-01-31T23:59:60Z",
    "9999-12-31T23:59:59-23:59",
    "1000-01-01T00:00:00+23:59",
    "2026-01-31T12:00:00.123456789Z",
    "a" * 64,
    "a" * 254,
    "a" * 8193,
    "a" * 100_000,
    "🙂" * 63,
    "🙂" * 256,
    "🙂" * 8192,
)
NUMBERS: Final = (
    -1,
    0,
    1,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**53,
    2**62,
    2**63 - 1,
    -(2**63),
    2**63,
    2**64,
    0.5,
    -0.0,
    80.0,
    1e3,
    1e21,
    1e308,
)
OTHERS: Final[tuple[Any, ...]] = (
    None,
    True,
    [],
    {},
    [[]],
    [None],
    {"": ""},
    {"a": {}},
    {"name": "x"},
    GONE,
)
VALUES: Final = (*TEXTS, *NUMBERS, *OTHERS)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every field and item of a manifest, containers before what is in them."""
    items: Iterator[tuple[str | int, Any]] = iter(())
    if isinstance(value, dict):
        items = iter(value.items())
    elif isinstance(value, list):
        items = iter(enumerate(value))
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def spoiled(body: Manifest, random: Random, changes: int) -> tuple[Manifest, list[str]]:
    """A copy of a manifest with so many fields of its spec changed, and what was done to it."""
    body, done = copy.deepcopy(body), []
    for _ in range(changes):
        path = random.choice(list(places(body["spec"], ("spec",))))
        parent: Any = body
        for step in path[:-1]:
            parent = parent[step]
        value = copy.deepcopy(random.choice(_fitting(parent[path[-1]], random)))
        if value == GONE:
            del parent[path[-1]]
        else:
            parent[path[-1]] = value
        done.append(f"{'.'.join(map(str, path))}: {value!r:.60}")
    return body, done


def _fitting(value: Any, random: Random) -> tuple[Any, ...]:
    """Values to put in the place of that one: mostly of its type, for one is read further then."""
    if random.random() < 0.3:
        return VALUES
    if isinstance(value, str):
        return TEXTS
    return OTHERS if isinstance(value, bool | list | dict) else NUMBERS
