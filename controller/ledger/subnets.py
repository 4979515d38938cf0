"""The subnets of the agent's own ranges: which network has which.

Responsible for the rows of `subnets` and `subnet_pools`. Each function takes a connection that is
inside a transaction of its caller and never commits. Subnets never overlap, whatever pools and
prefix lengths they were asked for with.
"""

import json
from collections.abc import Sequence
from ipaddress import IPv4Network

from sqlite_utils import Database

from controller.ledger.errors import LedgerConflict, SubnetsExhausted
from controller.ledger.records import Subnet

# Starts at the subnet before the first address, which may reach over it.
_TAKEN_BETWEEN = """
SELECT first, last FROM subnets
WHERE first >= coalesce((SELECT max(first) FROM subnets WHERE first <= :first), 0)
  AND first <= :last
ORDER BY first
"""
# As subnets never overlap, the one that begins last before the end of a range reaches into it, or
# none does.
_TAKEN_AT = """
SELECT owner, pool, first, last FROM subnets
WHERE first = (SELECT max(first) FROM subnets WHERE first <= :last) AND last >= :first
"""


def allocate(
    db: Database,
    owner: str,
    *,
    pool: IPv4Network,
    prefix: int,
    now: int,
    prefer: Sequence[IPv4Network] = (),
) -> IPv4Network:
    """The owner's subnet of the pool, or a new one: the first of the preferred that is free.

    Raises ValueError for a prefix length that the pool cannot hold, LedgerConflict when the owner
    has one of another length, and SubnetsExhausted.
    """
    if not pool.prefixlen <= prefix <= 30:
        raise ValueError(f"prefix /{prefix}: expected /{pool.prefixlen} to /30 in {pool}")
    known = held(db, owner, pool=pool)
    if known is not None:
        if known.prefixlen != prefix:
            raise LedgerConflict(f"{owner} holds {known} of {pool}: a /{prefix} was asked for")
        return known
    for wanted in prefer:
        if wanted.prefixlen == prefix and wanted.subnet_of(pool) and not _is_taken(db, wanted):
            low, high = int(wanted.network_address), int(wanted.broadcast_address)
            _insert(db, owner, pool=pool, first=low, last=high, now=now)
            return wanted
    size = 1 << (32 - prefix)
    first = _search(db, pool, size)
    if first is None:
        raise SubnetsExhausted(prefix, pool)
    _insert(db, owner, pool=pool, first=first, last=first + size - 1, now=now)
    db.execute(
        "INSERT INTO subnet_pools (pool, next) VALUES (?, ?)"
        " ON CONFLICT (pool) DO UPDATE SET next = excluded.next",
        [str(pool), first + size],
    )
    return _network(first, first + size - 1)


def _is_taken(db: Database, subnet: IPv4Network) -> bool:
    first, last = int(subnet.network_address), int(subnet.broadcast_address)
    return db.execute(_TAKEN_AT, {"first": first, "last": last}).fetchone() is not None


def held(db: Database, owner: str, *, pool: IPv4Network) -> IPv4Network | None:
    """The owner's subnet of the pool, None when it has none."""
    row = db.execute(
        "SELECT first, last FROM subnets WHERE owner = ? AND pool = ?", [owner, str(pool)]
    ).fetchone()
    return None if row is None else _network(*row)


def _search(db: Database, pool: IPv4Network, size: int) -> int | None:
    """The first address of a free subnet: onward from the last one given, then from the start."""
    low, high = int(pool.network_address), int(pool.broadcast_address)
    row = db.execute("SELECT next FROM subnet_pools WHERE pool = ?", [str(pool)]).fetchone()
    start = _align(low if row is None else max(low, row[0]), size)
    found = _first_gap(db, start, high, size)
    return _first_gap(db, low, high, size) if found is None and start > low else found


def _first_gap(db: Database, start: int, end: int, size: int) -> int | None:
    """The first aligned gap of that size between two addresses, both included."""
    candidate = start
    for first, last in db.execute(_TAKEN_BETWEEN, {"first": start, "last": end}):
        if first >= candidate + size:
            break
        if last >= candidate:
            candidate = _align(last + 1, size)
    return candidate if candidate + size - 1 <= end else None


def _align(address: int, size: int) -> int:
    return -(-address // size) * size


def adopt(db: Database, owner: str, *, pool: IPv4Network, subnet: IPv4Network, now: int) -> None:
    """Record a subnet that a network already has; once more for the same owner is fine.

    Raises LedgerConflict when another one has it or a part of it, or the owner another of the pool.
    """
    first, last = int(subnet.network_address), int(subnet.broadcast_address)
    row = db.execute(
        "SELECT owner, pool, first, last FROM subnets WHERE owner = ? AND pool = ?",
        [owner, str(pool)],
    ).fetchone()
    if row is None:
        row = db.execute(_TAKEN_AT, {"first": first, "last": last}).fetchone()
    if row is None:
        _insert(db, owner, pool=pool, first=first, last=last, now=now)
    elif tuple(row) != (owner, str(pool), first, last):
        raise LedgerConflict(
            f"{owner} cannot have {subnet} of {pool}: {row[0]} holds {_network(*row[2:])}"
        )


def _insert(
    db: Database, owner: str, *, pool: IPv4Network, first: int, last: int, now: int
) -> None:
    db.execute(
        "INSERT INTO subnets (first, last, owner, pool, allocated) VALUES (?, ?, ?, ?, ?)",
        [first, last, owner, str(pool), now],
    )


def free(db: Database, owner: str) -> None:
    """Free all subnets of the owner."""
    db.execute("DELETE FROM subnets WHERE owner = ?", [owner])


def free_ownerless(db: Database, *, keep: Sequence[str]) -> set[str]:
    """Free the subnets of owners that are no instance's and not among `keep`; whose they were."""
    found = {
        owner
        for (owner,) in db.execute(
            "SELECT owner FROM subnets WHERE owner NOT IN (SELECT uid FROM instances)"
            " AND owner NOT IN (SELECT value FROM json_each(?))",
            [json.dumps(keep)],
        )
    }
    for owner in found:
        free(db, owner)
    return found


def count(db: Database, pool: IPv4Network) -> int:
    """How many subnets of the pool are given out."""
    (found,) = db.execute("SELECT count(*) FROM subnets WHERE pool = ?", [str(pool)]).fetchone()
    return int(found)


def everything(db: Database) -> list[Subnet]:
    """All subnets given out, by address."""
    rows = db.execute("SELECT owner, pool, first, last FROM subnets ORDER BY first")
    return [
        Subnet(owner=owner, pool=IPv4Network(pool), subnet=_network(first, last))
        for owner, pool, first, last in rows
    ]


def _network(first: int, last: int) -> IPv4Network:
    return IPv4Network((first, 33 - (last - first + 1).bit_length()))
