"""Journals as earlier versions left them, out of dumps that are never edited."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

FIXTURES = Path(__file__).with_name("fixtures")
TABLES = ("events", "sessions", "orders", "campaigns")

Rows = dict[str, list[tuple[object, ...]]]


def restore(path: Path, dump: str) -> None:
    """Makes the journal at ``path``, and its folder, out of the fixture ``dump``."""
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")  # as the daemon leaves it; a dump does not say so
        database.executescript((FIXTURES / dump).read_text())


def schema(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        (version,) = database.execute("PRAGMA user_version").fetchone()
    return int(version)


def rows(path: Path) -> Rows:
    """Everything in the journal, by table; tables that its schema does not have yet are left out."""
    with closing(sqlite3.connect(path)) as database:
        there = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        return {name: database.execute(f"SELECT * FROM {name}").fetchall() for name in TABLES if name in there}
