"""The names of ports: what a reservation asks for, compared with what is held already.

Responsible for refusing names that cannot be told apart; it reads no table.
"""

from collections.abc import Iterable, Sequence

from controller.ledger.errors import LedgerConflict


def distinct(names: Iterable[str]) -> list[str]:
    """The names in their order; raises ValueError when they repeat or one is empty."""
    wanted = list(names)
    if isinstance(names, str) or not all(wanted) or len(set(wanted)) < len(wanted):
        raise ValueError(f"port names {names!r}: expected a list of different, non-empty names")
    return wanted


def same_ports(wanted: Sequence[str], held: dict[str, int], who: str) -> dict[str, int]:
    """The held ports in the order wanted; raises LedgerConflict when the names differ."""
    if set(wanted) != set(held):
        raise LedgerConflict(
            f"{who} holds ports named {sorted(held)}, asked for {sorted(wanted)}: release it first"
        )
    return {name: held[name] for name in wanted}
