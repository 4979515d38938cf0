"""The range of host ports as people write it, and as the ledger records it.

Responsible for parsing and for bounds; it knows no table.
"""

from collections.abc import Iterable

LOWEST_PORT, HIGHEST_PORT = 1, 65535


def parse_ports(ports: Iterable[int] | str) -> list[int]:
    """The ports of a range, ascending and without repeats.

    A string is `LOW-HIGH` with both ends included, or several of these and single ports with
    commas between them. Raises ValueError for an empty range, for anything that is no number, and
    for a port outside 1-65535.
    """
    found = sorted(set(_parse_text(ports) if isinstance(ports, str) else ports))
    if not found:
        raise ValueError("the range of ports is empty: expected for instance 10000-29999")
    for port in (found[0], found[-1]):
        if not LOWEST_PORT <= port <= HIGHEST_PORT:
            raise ValueError(f"port {port} is out of bounds: expected {LOWEST_PORT}-{HIGHEST_PORT}")
    return found


def _parse_text(text: str) -> list[int]:
    """The ports of `10000-10099,10200`."""
    found: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        try:
            first, last = int(low), int(high if dash else low)
        except ValueError:
            raise ValueError(
                f"range of ports {text!r}: {part!r} is no port and no range, "
                "expected for instance 10000-29999"
            ) from None
        if first > last or first < LOWEST_PORT or last > HIGHEST_PORT:
            raise ValueError(
                f"range of ports {text!r}: expected {LOWEST_PORT} <= low <= high <= "
                f"{HIGHEST_PORT} in {part!r}"
            )
        found.extend(range(first, last + 1))
    return found


def spans(ports: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending ports folded into (first, last) pairs, both included."""
    folded: list[tuple[int, int]] = []
    for port in ports:
        if folded and port == folded[-1][1] + 1:
            folded[-1] = (folded[-1][0], port)
        else:
            folded.append((port, port))
    return folded


def format_spans(pairs: Iterable[tuple[int, int]]) -> str:
    """The pairs as people write them: `10000-29999,31000`."""
    return ",".join(f"{low}-{high}" if low < high else str(low) for low, high in pairs)
