"""Journals of earlier versions go on, and what they were is kept beside them."""

from __future__ import annotations

import asyncio
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.unit.store.old_journals import FIXTURES, restore, rows, schema
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import SlaveAdded, SlugSet
from ucm_provision.core.machine import Milestone
from ucm_provision.core.orders import OrderState
from ucm_provision.store.journal import SCHEMA_VERSION, Journal
from ucm_provision.store.journal_copies import keep_copy

OLDER = range(1, SCHEMA_VERSION)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite3"


def open_and_close(path: Path) -> None:
    async def run() -> None:
        await (await Journal.open(path)).close()

    asyncio.run(run())


def files(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()}


def copy_of(path: Path, version: int) -> Path:
    return path.with_name(f"journal-schema-{version}.sqlite3")


def test_there_is_a_journal_of_every_older_schema() -> None:
    assert {file.name for file in FIXTURES.glob("schema-*.sql")} == {f"schema-{version}.sql" for version in OLDER}


@pytest.mark.parametrize("version", OLDER)
def test_an_older_journal_goes_on_with_everything_in_it(path: Path, version: int) -> None:
    restore(path, f"schema-{version}.sql")
    before = rows(path)
    open_and_close(path)
    assert schema(path) == SCHEMA_VERSION
    assert {table: rows(path)[table] for table in before} == before


@pytest.mark.parametrize("version", OLDER)
def test_what_it_was_is_kept_beside_it(path: Path, version: int) -> None:
    restore(path, f"schema-{version}.sql")
    before = rows(path)
    open_and_close(path)
    copy = copy_of(path, version)
    assert files(path) == {path.name, copy.name}
    assert copy.stat().st_mode & 0o777 == 0o600
    assert (schema(copy), rows(copy)) == (version, before)
    with closing(sqlite3.connect(copy)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_what_was_not_yet_checkpointed_is_in_the_copy_too(path: Path, tmp_path: Path) -> None:
    """As a daemon leaves it that was killed: the newest rows only in the write-ahead log."""
    restore(path, "schema-2.sql")
    with closing(sqlite3.connect(path)) as database:
        database.execute("DELETE FROM orders WHERE id = '1'")
        database.commit()
        crashed = tmp_path / "crashed"
        shutil.copytree(path.parent, crashed)
    assert (crashed / "journal.sqlite3-wal").stat().st_size > 0
    open_and_close(crashed / path.name)
    assert [order[0] for order in rows(copy_of(crashed / path.name, 2))["orders"]] == ["2"]


async def test_the_copy_put_back_is_a_journal_again(path: Path) -> None:
    restore(path, "schema-2.sql")
    await (await Journal.open(path)).close()
    copy_of(path, 2).replace(path)
    journal = await Journal.open(path)
    assert [order.id for order in await journal.orders()] == ["1", "2"]
    await journal.close()


@pytest.mark.parametrize("journal", ["a new one", "one of this version"])
def test_a_journal_that_does_not_change_is_not_copied(path: Path, journal: str) -> None:
    open_and_close(path)
    if journal == "one of this version":
        open_and_close(path)
    assert files(path) == {path.name}


def test_the_remains_of_a_copy_that_was_cut_off_do_not_matter(path: Path) -> None:
    restore(path, "schema-1.sql")
    path.with_name(".journal-schema-1.sqlite3.new").write_text("half a copy")
    copy_of(path, 1).write_text("a copy from an earlier upgrade that was taken back")
    open_and_close(path)
    assert files(path) == {path.name, "journal-schema-1.sqlite3"}
    assert schema(copy_of(path, 1)) == 1


def test_the_three_of_the_newest_schemas_are_kept(path: Path) -> None:
    restore(path, "schema-2.sql")
    others = {path.name, "journal-schema-old.sqlite3", "another-schema-1.sqlite3"}
    for name in others - {path.name}:
        path.with_name(name).touch()
    with closing(sqlite3.connect(path)) as database:
        for version in (9, 10, 8, 11):
            keep_copy(database, path, version)
    assert files(path) == others | {f"journal-schema-{version}.sqlite3" for version in (9, 10, 11)}


def refusal(path: Path) -> UcmError:
    with pytest.raises(UcmError) as refused:
        asyncio.run(Journal.open(path))
    return refused.value


def test_without_a_copy_nothing_is_changed(path: Path) -> None:
    restore(path, "schema-1.sql")
    copy_of(path, 1).mkdir()
    error = refusal(path)
    assert (error.code, "Is a directory" in error.detail) == (Code.JOURNAL_UNUSABLE, True)
    assert schema(path) == 1
    assert files(path) == {path.name, "journal-schema-1.sqlite3"}


@contextmanager
def hardly_any_room() -> Iterator[None]:
    """No file may grow beyond one page, which to a writer is like a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_journal_as_it_was_and_no_half_copy(path: Path) -> None:
    restore(path, "schema-1.sql")
    before = rows(path)
    with hardly_any_room():
        error = refusal(path)
    assert error.code is Code.JOURNAL_UNUSABLE
    assert (schema(path), rows(path)) == (1, before)
    assert files(path) == {path.name}


async def test_the_second_schema_is_still_understood(path: Path) -> None:
    restore(path, "schema-2.sql")
    journal = await Journal.open(path)
    dryer, master = await journal.sessions()
    assert (dryer.milestone, dryer.renew) == (Milestone.IDENTIFIED, True)
    assert [slave.device_id for slave in master.slaves] == ["device-4"]
    done, waiting = await journal.orders()
    assert (done.state, done.device_id) == (OrderState.DONE, "device-5")
    assert waiting.replacement is not None
    assert (waiting.code, waiting.replacement.parting_slug) == (Code.API_UNREACHABLE, "dryer-1-replaced")
    events = [entry.event for session in (dryer, master) for entry in await journal.history(session.id)]
    assert len(events) == 19
    assert SlugSet("dryer-1") in events
    assert SlaveAdded("E4D2109F8B6C577A11C0DE5B2948F6A31", "device-4") in events
    assert await journal.campaigns() == []
    await journal.close()
