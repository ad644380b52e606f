"""What was acknowledged stays, what was not leaves no half, and two daemons never share a journal."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import Failed, HoldCleared, Seen
from ucm_provision.core.machine import Session, evolve
from ucm_provision.core.model import Carrier, Endpoint
from ucm_provision.store.journal import Entry, Journal

SEEN = Seen(Endpoint(Carrier.SERIAL, "/dev/ttyUSB0", "key-0"))
SESSION = evolve(None, SEEN, session_id="s", at=1.0)
FAILED = Failed(Code.LINK_SILENT)
LATER = evolve(SESSION, FAILED, session_id="s", at=2.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite3"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[Journal]:
    journal = await Journal.open(path)
    yield journal
    await journal.close()


@asynccontextmanager
async def endless_writer(path: Path) -> AsyncIterator[Process]:
    script = Path(__file__).with_name("endless_writer.py")
    child = await asyncio.create_subprocess_exec(sys.executable, script, path, stdout=PIPE)
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def acknowledged(child: Process) -> int:
    assert child.stdout is not None
    return int(await asyncio.wait_for(child.stdout.readline(), 20.0))


async def test_a_killed_process_loses_nothing_that_was_acknowledged(path: Path) -> None:
    async with endless_writer(path) as child:
        last = [await acknowledged(child) for _ in range(5)][-1]
        child.kill()
        await child.wait()
    journal = await Journal.open(path)
    entries = await journal.history("s")
    assert len(entries) >= last
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    assert [(session.id, session.updated_at) for session in await journal.sessions()] == [("s", entries[-1].at)]
    await journal.close()


async def test_a_second_daemon_on_the_same_journal_is_refused_until_the_first_is_gone(path: Path) -> None:
    async with endless_writer(path) as child:
        await acknowledged(child)
        with pytest.raises(UcmError) as refused:
            await Journal.open(path)
        assert (refused.value.code, refused.value.detail) == (Code.ALREADY_RUNNING, f"{path}: database is locked")
        await acknowledged(child)  # the first one does not even notice
        child.kill()
        await child.wait()
        journal = await Journal.open(path)
        await journal.close()


async def test_it_is_locked_before_anything_was_written(path: Path) -> None:
    await (await Journal.open(path)).close()  # makes it, so that the next daemon has nothing to write
    journal = await Journal.open(path)
    with pytest.raises(UcmError, match="database is locked"):
        await Journal.open(path)
    await journal.close()


async def test_a_daemon_that_is_just_stopping_gets_its_moment(path: Path) -> None:
    first = await Journal.open(path)
    second = asyncio.create_task(Journal.open(path))
    await first.append(SESSION, SEEN, 1.0)
    await first.close()
    journal = await second
    assert await journal.sessions() == [SESSION]
    await journal.close()


async def with_trigger(path: Path, statement: str) -> Journal:
    """A journal whose second write of every transaction runs into ``statement``."""
    await (await Journal.open(path)).close()
    database = sqlite3.connect(path)
    database.execute(f"CREATE TRIGGER fault BEFORE INSERT ON sessions BEGIN {statement}; END")
    database.close()
    return await Journal.open(path)


@pytest.mark.parametrize("statement", ["SELECT RAISE(ABORT, 'a bad day')", "SELECT RAISE(ROLLBACK, 'a bad day')"])
async def test_an_append_that_fails_half_way_leaves_nothing_behind(path: Path, statement: str) -> None:
    journal = await with_trigger(path, statement)
    with pytest.raises(UcmError) as failed:
        await journal.append(SESSION, SEEN, 1.0)
    assert failed.value.code is Code.JOURNAL_UNUSABLE
    assert "a bad day" in failed.value.detail
    assert (await journal.history("s"), await journal.sessions()) == ([], [])
    await journal.close()


async def test_a_full_disk_is_told_and_survived(path: Path, journal: Journal) -> None:
    await journal.append(SESSION, SEEN, 1.0)
    journal._database.execute("PRAGMA max_page_count = 1").fetchall()  # as much as there is now
    with pytest.raises(UcmError, match="full"):
        await journal.append(LATER, Failed(Code.LINK_SILENT, "x" * 100_000), 2.0)
    journal._database.execute("PRAGMA max_page_count = 100000").fetchall()
    await journal.append(LATER, FAILED, 2.0)
    assert await journal.history("s") == [Entry(1, 1.0, SEEN), Entry(2, 2.0, FAILED)]


async def cancelled_in_the_queue(journal: Journal, session: Session) -> None:
    """Cancels an append that waits for the journal's thread."""
    gate = threading.Event()
    blocked = journal._thread.submit(gate.wait)
    append = asyncio.create_task(journal.append(session, SEEN, 1.0))
    await asyncio.sleep(0)  # lets it begin
    append.cancel()
    with pytest.raises(asyncio.CancelledError):
        await append
    gate.set()
    await asyncio.wrap_future(blocked)


async def test_a_cancelled_append_is_kept_all_the_same(journal: Journal) -> None:
    await cancelled_in_the_queue(journal, SESSION)
    assert await journal.history("s") == [Entry(1, 1.0, SEEN)]


async def test_closing_waits_for_what_is_in_the_queue(path: Path) -> None:
    journal = await Journal.open(path)
    await cancelled_in_the_queue(journal, SESSION)
    await journal.close()
    journal = await Journal.open(path)
    assert await journal.sessions() == [SESSION]
    await journal.close()


async def test_the_loop_goes_on_while_the_journal_writes(journal: Journal) -> None:
    gate = threading.Event()
    blocked = journal._thread.submit(gate.wait)
    async with asyncio.TaskGroup() as group:
        group.create_task(journal.append(SESSION, SEEN, 1.0))
        group.create_task(asyncio.to_thread(gate.set))  # nobody could open the gate from a blocked loop
    assert blocked.result(timeout=1.0)


async def test_histories_are_kept_apart(journal: Journal) -> None:
    other = evolve(None, SEEN, session_id="other", at=1.0)
    for session, event in ((SESSION, SEEN), (other, SEEN), (LATER, FAILED)):
        await journal.append(session, event, 1.0)
    cleared = HoldCleared("an operator")
    await journal.append(other, cleared, 3.0)
    assert [entry.event for entry in await journal.history("s")] == [SEEN, FAILED]
    assert [entry.event for entry in await journal.history("other")] == [SEEN, cleared]
    assert await journal.history("nobody") == []
