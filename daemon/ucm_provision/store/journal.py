"""The journal: every event of every session, and what follows from them, on disk before anybody hears of it.

An append-only table of events plus a projection (the latest state of each session), written in one
transaction. SQLite in WAL mode with full synchronisation, on a thread of its own: a power cut loses
nothing that was acknowledged.
"""

from __future__ import annotations

import asyncio
import errno
import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from ucm_provision.core import policy
from ucm_provision.core.campaign import Campaign
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import EVENT_TYPES, Event, Failed
from ucm_provision.core.history import PastFailure
from ucm_provision.core.machine import Session
from ucm_provision.core.orders import Order
from ucm_provision.store.journal_copies import keep_copy

log = structlog.get_logger()

T = TypeVar("T")

SCHEMA_VERSION = 4

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

# Seconds that a daemon which is just stopping gets to let go of its journal.
_LOCK_DEADLINE = 1.0
# A second daemon on the same journal would push what this one knows nothing of, so it must not start. The
# operating system takes the lock back with the process: a killed daemon leaves none behind. In this order the
# lock is taken with the first look at the file (https://www.sqlite.org/wal.html, section 8). The journal is written
# far more than it is read, so the kernel's memory of its pages is enough: SQLite itself keeps 256 KiB, not 2 MiB.
_SETTINGS = """
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
PRAGMA cache_size = -256;
"""

# Each brings a journal from the version of its place (0: an empty file) to the next.
_MIGRATIONS = (
    """
CREATE TABLE events (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    session TEXT NOT NULL,
    at      REAL NOT NULL,
    kind    TEXT NOT NULL,
    body    TEXT NOT NULL
) STRICT;
CREATE INDEX events_of_session ON events (session, seq);
CREATE TABLE sessions (
    session     TEXT PRIMARY KEY,
    hardware_id TEXT,
    milestone   TEXT NOT NULL,
    seq         INTEGER NOT NULL REFERENCES events (seq),
    body        TEXT NOT NULL
) STRICT;
""",
    """
CREATE TABLE orders (
    id    TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    at    REAL NOT NULL,
    body  TEXT NOT NULL
) STRICT;
""",
    """
CREATE TABLE campaigns (
    id    TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    at    REAL NOT NULL,
    body  TEXT NOT NULL
) STRICT;
""",
    # Events that the version before does not know (names, modules that were forgotten or left alone): it must say that
    # the journal is too new for it, and not stumble over the first of them.
    "",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a session's history."""

    seq: int
    at: float
    event: Event


class Journal:
    """Used by one daemon at a time. Every failure is UcmError: journal_unusable, journal_too_new or disk_full."""

    def __init__(self, thread: ThreadPoolExecutor, database: sqlite3.Connection) -> None:
        self._thread = thread
        self._database = database

    @classmethod
    async def open(cls, path: Path) -> Journal:
        """Opens or makes the journal at ``path``."""
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        try:
            database = await asyncio.get_running_loop().run_in_executor(thread, _open, path)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(thread, database)

    async def append(self, session: Session, event: Event, at: float) -> int:
        """Keeps the event and the session that follows from it; returns the event's number."""
        return await self._run(lambda: _append(self._database, session, event, at))

    async def sessions(self) -> list[Session]:
        """The latest state of every session, oldest change first."""
        return await self._run(lambda: _sessions(self._database))

    async def history(self, session_id: str) -> list[Entry]:
        """Everything that happened to a session, in order."""
        return await self._run(lambda: _history(self._database, session_id))

    async def past_failures(self, session_ids: Iterable[str]) -> dict[str, list[PastFailure]]:
        """What failed in these sessions and how often: each kind of failure once, in the order of the last times."""
        wanted = msgspec.json.encode(list(session_ids)).decode()
        return await self._run(lambda: _past_failures(self._database, wanted))

    async def keep_order(self, order: Order) -> None:
        """The order as it is now; the oldest that ended make room."""
        await self._run(lambda: _keep_order(self._database, order))

    async def orders(self) -> list[Order]:
        """Every order that is kept, oldest first."""
        return await self._run(lambda: _orders(self._database))

    async def keep_campaign(self, campaign: Campaign) -> None:
        """The campaign as it is now."""
        await self._run(lambda: _keep_campaign(self._database, campaign))

    async def campaigns(self) -> list[Campaign]:
        """Every campaign, oldest first."""
        return await self._run(lambda: _campaigns(self._database))

    async def ping(self) -> None:
        """Returns when the journal's thread has got round to reading."""
        await self._run(lambda: self._database.execute("PRAGMA user_version").fetchone())

    async def close(self) -> None:
        await self._run(self._database.close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        # Shielded: a cancelled session must not take its event out of the queue half-way.
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            return await asyncio.shield(future)
        except sqlite3.Error as error:
            raise UcmError(_code(error), str(error)) from error


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_room(path)
        return _prepare(sqlite3.connect(path, _LOCK_DEADLINE, check_same_thread=False, isolation_level=None), path)
    except (sqlite3.Error, OSError) as error:
        raise UcmError(_code(error), f"{path}: {error}") from error


def _code(error: sqlite3.Error | OSError) -> Code:
    if isinstance(error, OSError):
        return Code.DISK_FULL if error.errno in _NO_ROOM else Code.JOURNAL_UNUSABLE
    reasons = {sqlite3.SQLITE_BUSY: Code.ALREADY_RUNNING, sqlite3.SQLITE_FULL: Code.DISK_FULL}
    return reasons.get(error.sqlite_errorcode & 0xFF, Code.JOURNAL_UNUSABLE)


def _check_room(path: Path) -> None:
    if not has_room(path.parent):
        raise UcmError(Code.DISK_FULL, str(path))


def has_room(folder: Path) -> bool:
    """Whether what is begun now could also be written down."""
    return shutil.disk_usage(folder).free >= policy.JOURNAL_ROOM


@dataclass(frozen=True, slots=True)
class Room:
    """In bytes."""

    journal: int
    free: int


def look_at_room(folder: Path) -> Room:
    """How large the journal in the folder is, with what SQLite keeps beside it, and how much more could be written."""
    sizes = (path.stat().st_size for path in folder.glob("journal.sqlite3*"))
    return Room(sum(sizes), shutil.disk_usage(folder).free)


def _prepare(database: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    try:
        path.chmod(0o600)
        database.executescript(_SETTINGS)
        _migrate(database, path)
    except BaseException:
        database.close()  # and with it the lock
        raise
    return database


def _migrate(database: sqlite3.Connection, path: Path) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise UcmError(Code.JOURNAL_TOO_NEW, f"schema {version}, this version reads up to {SCHEMA_VERSION}")
    if version == SCHEMA_VERSION:
        return
    if version > 0:  # 0: it is empty
        copy = keep_copy(database, path, version)
        log.info("journal copied before its schema changes", schema=version, to=SCHEMA_VERSION, copy=str(copy))
    steps = "".join(_MIGRATIONS[version:])
    database.executescript(f"BEGIN; {steps} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")


def _append(database: sqlite3.Connection, session: Session, event: Event, at: float) -> int:
    kind = type(event).__name__
    with database:  # commits, or rolls back where SQLite itself has not done so already (a full disk)
        database.execute("BEGIN IMMEDIATE")
        row = database.execute(
            "INSERT INTO events (session, at, kind, body) VALUES (?, ?, ?, ?)", (session.id, at, kind, _text(event))
        )
        seq = row.lastrowid or 0
        database.execute(
            "INSERT INTO sessions (session, hardware_id, milestone, seq, body) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (session) DO UPDATE SET hardware_id = excluded.hardware_id, "
            "milestone = excluded.milestone, seq = excluded.seq, body = excluded.body",
            (session.id, session.hardware_id, session.milestone.value, seq, _text(session)),
        )
    return seq


def _sessions(database: sqlite3.Connection) -> list[Session]:
    return [_parse(body, Session) for (body,) in database.execute("SELECT body FROM sessions ORDER BY seq")]


def _keep_order(database: sqlite3.Connection, order: Order) -> None:
    with database:
        database.execute("BEGIN IMMEDIATE")
        database.execute(
            "INSERT INTO orders (id, state, at, body) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET state = excluded.state, body = excluded.body",
            (order.id, order.state.value, order.placed_at, _text(order)),
        )
        database.execute(
            "DELETE FROM orders WHERE state <> 'open' AND id NOT IN "
            "(SELECT id FROM orders ORDER BY at DESC, rowid DESC LIMIT ?)",
            (policy.ORDERS_KEPT,),
        )


def _orders(database: sqlite3.Connection) -> list[Order]:
    return [_parse(body, Order) for (body,) in database.execute("SELECT body FROM orders ORDER BY at, rowid")]


def _keep_campaign(database: sqlite3.Connection, campaign: Campaign) -> None:
    with database:
        database.execute("BEGIN IMMEDIATE")
        database.execute(
            "INSERT INTO campaigns (id, state, at, body) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET state = excluded.state, body = excluded.body",
            (campaign.id, campaign.state.value, campaign.placed_at, _text(campaign)),
        )


def _campaigns(database: sqlite3.Connection) -> list[Campaign]:
    return [_parse(body, Campaign) for (body,) in database.execute("SELECT body FROM campaigns ORDER BY at, rowid")]


def _history(database: sqlite3.Connection, session_id: str) -> list[Entry]:
    rows = database.execute(
        "SELECT seq, at, kind, body FROM events WHERE session = ? ORDER BY seq", (session_id,)
    ).fetchall()
    return [Entry(seq, at, _event(kind, body)) for seq, at, kind, body in rows]


# However often something was tried again, one row tells of it. A code is part of an event's body.
_FAILURES = """
SELECT events.session, events.body, found.times, found.first_at, events.at
FROM (
    SELECT MAX(seq) AS seq, COUNT(*) AS times, MIN(at) AS first_at FROM events
    WHERE session IN (SELECT value FROM json_each(?)) AND kind = 'Failed'
    GROUP BY session, json_extract(body, '$.code')
) AS found JOIN events USING (seq) ORDER BY seq
"""


def _past_failures(database: sqlite3.Connection, session_ids: str) -> dict[str, list[PastFailure]]:
    found: dict[str, list[PastFailure]] = defaultdict(list)
    for session_id, body, times, first_at, last_at in database.execute(_FAILURES, (session_ids,)):
        last = _parse(body, Failed)
        found[session_id].append(PastFailure(last.code, last.detail, times, first_at, last_at))
    return dict(found)


def _event(kind: str, body: str) -> Event:
    if kind not in EVENT_TYPES:
        raise UcmError(Code.JOURNAL_UNUSABLE, f"this version knows no event {kind!r}")
    return _parse(body, EVENT_TYPES[kind])


def _text(value: Event | Session | Order | Campaign) -> str:
    return msgspec.json.encode(value).decode()


def _parse(body: str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise UcmError(Code.JOURNAL_UNUSABLE, f"a {kind.__name__} cannot be read: {error}") from error
