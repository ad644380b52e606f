"""What the journal opens, what it refuses, and with which words."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.store.old_journals import restore
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import Absorbed, Adopted, Cancelled, Failed, HoldCleared, Moved, Seen
from ucm_provision.core.kinds import Kind
from ucm_provision.core.machine import Hold, Milestone, Waits
from ucm_provision.core.model import Carrier, Endpoint, MqttProtocol, Phase, ProvisionArguments, Source
from ucm_provision.core.orders import Order
from ucm_provision.store.journal import SCHEMA_VERSION, Journal, look_at_room

NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite3"


def refusal(path: Path) -> UcmError:
    with pytest.raises(UcmError) as refused:
        asyncio.run(Journal.open(path))
    return refused.value


def open_and_close(path: Path) -> None:
    async def run() -> None:
        await (await Journal.open(path)).close()

    asyncio.run(run())


def alter(path: Path, statement: str) -> None:
    """Changes a journal behind the daemon's back."""
    database = sqlite3.connect(path)
    with database:
        database.execute(statement)
    database.close()


async def test_only_the_daemon_may_read_it(path: Path) -> None:
    umask = os.umask(0)
    try:
        journal = await Journal.open(path)
    finally:
        os.umask(umask)
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == {"journal.sqlite3": 0o600, "journal.sqlite3-wal": 0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700
    await journal.close()


def test_a_journal_that_others_could_read_is_closed_to_them(path: Path) -> None:
    path.parent.mkdir()
    path.touch(0o666)
    path.chmod(0o666)
    open_and_close(path)
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_power_cut_loses_nothing_because_every_commit_is_synchronised(path: Path) -> None:
    journal = await Journal.open(path)
    settings = {
        name: journal._database.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys", "locking_mode", "user_version")
    }
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "locking_mode": "exclusive",
        "user_version": SCHEMA_VERSION,
    }
    await journal.close()


def test_a_newer_journal_is_left_alone(path: Path) -> None:
    restore(path, "schema-1.sql")
    alter(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    error = refusal(path)
    assert error.code is Code.JOURNAL_TOO_NEW
    assert error.detail == f"schema {SCHEMA_VERSION + 1}, this version reads up to {SCHEMA_VERSION}"
    assert path.read_bytes() == before


def test_a_refused_journal_is_not_kept_locked(path: Path) -> None:
    restore(path, "schema-1.sql")
    alter(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    refusal(path)
    database = sqlite3.connect(path, timeout=0.0)
    database.execute("PRAGMA user_version = 1")
    database.close()
    open_and_close(path)


def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("the operator's shopping list, long enough to have a header" * 10)
    before = path.read_bytes()
    error = refusal(path)
    assert (error.code, error.detail) == (Code.JOURNAL_UNUSABLE, f"{path}: file is not a database")
    assert path.read_bytes() == before


def test_a_folder_in_its_place(path: Path) -> None:
    path.mkdir(parents=True)
    error = refusal(path)
    assert error.code is Code.JOURNAL_UNUSABLE
    assert error.detail == f"{path}: unable to open database file"


def test_a_file_in_place_of_its_folder(path: Path) -> None:
    path.parent.touch()
    error = refusal(path)
    assert error.code is Code.JOURNAL_UNUSABLE
    assert str(path) in error.detail


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Rights mean nothing to root, so the test lays its rights down."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    yield
    os.seteuid(before)


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    folder = tmp_path / "unwritable"
    folder.mkdir(0o555)
    return folder


@pytest.mark.parametrize("name", ["journal.sqlite3", "state/journal.sqlite3"])
def test_a_folder_that_may_not_be_written(unwritable: Path, unprivileged: None, name: str) -> None:
    error = refusal(unwritable / name)
    assert error.code is Code.JOURNAL_UNUSABLE
    assert str(unwritable / name) in error.detail


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("UPDATE events SET kind = 'Danced'", "this version knows no event 'Danced'"),
        ("UPDATE events SET body = '{}' WHERE kind = 'Seen'", "a Seen cannot be read: .*endpoint"),
        ("UPDATE events SET body = '{' WHERE kind = 'Seen'", "a Seen cannot be read"),
    ],
)
async def test_an_event_that_nobody_can_read_is_told_as_such(path: Path, statement: str, complaint: str) -> None:
    restore(path, "schema-1.sql")
    alter(path, statement)
    journal = await Journal.open(path)
    with pytest.raises(UcmError, match=complaint) as refused:
        await journal.history("0a1b2c3d4e5f")
    assert refused.value.code is Code.JOURNAL_UNUSABLE
    await journal.close()


async def test_a_session_that_nobody_can_read_is_told_as_such(path: Path) -> None:
    restore(path, "schema-1.sql")
    alter(path, "UPDATE sessions SET body = replace(body, 'VERIFIED', 'DANCED')")
    journal = await Journal.open(path)
    with pytest.raises(UcmError, match="a Session cannot be read: Invalid enum value 'DANCED'"):
        await journal.sessions()
    await journal.close()


async def test_the_first_schema_still_opens(path: Path) -> None:
    restore(path, "schema-1.sql")
    journal = await Journal.open(path)
    verified, waiting, absorbed, cancelled = await journal.sessions()
    assert verified.evidence is not None
    assert (verified.milestone, verified.evidence.seen_by) == (Milestone.VERIFIED, Source.WITNESS)
    assert verified.evidence.reported_phase is Phase.ONLINE
    assert verified.intent is not None
    assert (verified.intent.transaction, verified.intent.sha256) == (b"t" * 16, b"d" * 32)
    assert waiting.hold == Hold(Waits.RETRY_AT, Code.API_RATE_LIMITED, "slow down", 1700000093.0)
    assert (absorbed.absorbed_into, cancelled.milestone) == (verified.id, Milestone.CANCELLED)
    await journal.close()


async def test_arguments_of_the_first_schema_go_on(path: Path) -> None:
    restore(path, "schema-1.sql")
    journal = await Journal.open(path)
    (session, *_) = await journal.sessions()
    assert session.arguments == ProvisionArguments(
        Kind.UCM, "C8795CBA5375484E829105E959663C8B", "site-1", "Boiler room", MqttProtocol.MQTTS
    )
    assert (session.slaves, session.announced_id) == ((), "")
    assert await journal.orders() == []
    await journal.keep_order(Order("1", "somebody", 1.0, 1.0))
    await journal.close()
    journal = await Journal.open(path)
    assert len(await journal.orders()) == 1
    await journal.close()


async def test_the_first_schema_s_events_are_still_understood(path: Path) -> None:
    restore(path, "schema-1.sql")
    journal = await Journal.open(path)
    here = Endpoint(Carrier.SERIAL, "/dev/ttyUSB0", "/dev/ttyUSB0:48128:1700000000000000000")
    there = Endpoint(Carrier.SERIAL, "/dev/ttyUSB1", "/dev/ttyUSB1:48129:1700000000000000001")
    events = {name * 12: [entry.event for entry in await journal.history(name * 12)] for name in "123"}
    assert events == {
        "1" * 12: [
            Seen(there),
            Failed(Code.LINK_SILENT, "12 s"),
            HoldCleared("the port is still there"),
            Failed(Code.API_RATE_LIMITED, "slow down", 90.0),
        ],
        "2" * 12: [
            Seen(there),
            Moved(here),
            Adopted("device-1", "boiler-room", 1, "other-box"),
            Absorbed("0a1b2c3d4e5f"),
        ],
        "3" * 12: [Seen(there), Cancelled("unplugged before it was identified")],
    }
    assert len(await journal.history("0a1b2c3d4e5f")) == 8
    await journal.close()


async def test_its_size_counts_what_sqlite_keeps_beside_it(path: Path) -> None:
    journal = await Journal.open(path)
    await journal.keep_order(Order("o", "anna", 0.0, 0.0, ProvisionArguments(Kind.VUCM)))
    room = look_at_room(path.parent)
    await journal.close()
    beside = path.with_name(path.name + "-wal")
    assert not beside.exists(), "closed, all of it is in one file"
    assert room.journal > look_at_room(path.parent).journal > 0
    assert room.free > 0
