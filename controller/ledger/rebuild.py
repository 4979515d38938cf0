"""Whether a fresh ledger still has to be filled with what runs.

Responsible for one mark in `meta`, made in the transaction that makes the file and taken away by
the one that restores: a crash in between must not have the next start take the ledger for complete.
"""

from sqlite_utils import Database

KEY = "rebuild"


def ask_for(db: Database) -> None:
    """Mark the ledger as one that does not know yet what runs."""
    db.execute("INSERT INTO meta (key, value) VALUES (?, 'pending')", [KEY])


def is_pending(db: Database) -> bool:
    """Whether nothing has been restored since the file was made."""
    return db.execute("SELECT 1 FROM meta WHERE key = ?", [KEY]).fetchone() is not None


def done(db: Database) -> None:
    """Take the mark away; nothing happens without one."""
    db.execute("DELETE FROM meta WHERE key = ?", [KEY])
