"""Puts a ledger back whose file was moved, removed or replaced while it was open.

Responsible for writing what the open connection still has to the file's path again. What lies there
instead is renamed, never deleted.
"""

import contextlib
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from sqlite_utils import Database

from controller.ledger.filesystem import set_aside


def put_back(db: Database, path: Path, *, has_log: bool) -> Path | None:
    """Write all that the connection has to the path; where what lay there instead was moved to.

    `has_log`: the log at the path is the connection's own, which takes it away when it is closed.
    The connection itself stays at the file that it had, and is to be closed. Raises sqlite3.Error
    and OSError, and has then at most renamed what lay there.
    """
    copy = path.with_name(f"{path.name}.new")
    copy.unlink(missing_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(copy)) as target:
            db.conn.backup(target)
        aside = None
        if path.exists():
            aside = set_aside(path, today=datetime.now(UTC), why="replaced", alone=has_log)
        os.rename(copy, path)
    except (sqlite3.Error, OSError):
        copy.unlink(missing_ok=True)
        raise
    return aside
