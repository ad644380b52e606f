"""Clock, disk and journal: what the daemon's memory hangs on."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.doctor.boxes import NOBODY, box_at, put, status, unprivileged, with_systemd
from ucm_provision.core.errors import Code
from ucm_provision.core.events import Seen
from ucm_provision.core.machine import evolve
from ucm_provision.core.model import Carrier, Endpoint
from ucm_provision.doctor import clock, disk, journal
from ucm_provision.doctor.account import Account
from ucm_provision.doctor.box import Box
from ucm_provision.doctor.clock import Time
from ucm_provision.doctor.disk import Room
from ucm_provision.doctor.finding import Finding, Level
from ucm_provision.store.journal import SCHEMA_VERSION, Journal

NOW = 1_795_000_000.0  # in November 2026
MB = 1024 * 1024
RESTART = "sudo systemctl restart ucm-provisiond"


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def moment(now: float = NOW, *, latest: float | None = None, synchronized: bool = True, service: bool = True) -> Time:
    return Time(now, synchronized, latest, has_service=service, is_container=False, restart=RESTART)


@pytest.mark.parametrize(
    ("observed", "level", "summary", "mend"),
    [
        (moment(), "ok", "is synchronised", ""),
        (moment(latest=NOW - 1e6), "ok", "is synchronised", ""),
        (moment(latest=NOW + 30), "ok", "is synchronised", ""),
        (moment(latest=NOW + 90), "warn", "it is synchronised now, and was ahead then", RESTART),
        (moment(latest=NOW + 90, synchronized=False), "problem", "it was set back", "sudo timedatectl set-ntp true"),
        (moment(0.0), "problem", "The clock says 1970-01-01", "sudo timedatectl set-ntp true"),
        (moment(4e9), "problem", "The clock says 2096-10-02", "sudo timedatectl set-ntp true"),
        (moment(synchronized=False), "warn", "nothing keeps it right", "sudo timedatectl set-ntp true"),
        (moment(synchronized=False, service=False), "warn", "nothing keeps", "sudo apt install systemd-timesyncd"),
    ],
)
@pytest.mark.usefixtures("utc")
def test_the_clock(observed: Time, level: str, summary: str, mend: str) -> None:
    found = clock.judge(observed)
    assert (found.level, found.mend) == (Level(level), mend)
    assert summary in found.summary


def test_a_container_s_clock_is_mended_elsewhere() -> None:
    found = clock.judge(Time(NOW, is_synchronized=False, latest=None, has_service=False, is_container=True))
    assert (found.level, found.mend) == (Level.WARN, "")
    assert "the machine around it" in found.details[-1]


def test_the_running_daemon_s_modules_tell_that_the_clock_was_set_back(tmp_path: Path) -> None:
    modules = [{"updated_at": time.time() - 5.0}, {"updated_at": time.time() + 86400.0}]
    (found,) = clock.check(box_at(tmp_path, says=status(), modules=modules))
    assert "but the daemon has written at" in found.summary


def test_without_modules_the_daemon_s_own_start_does(tmp_path: Path) -> None:
    (found,) = clock.check(box_at(tmp_path, says=status(started_at=time.time() + 86400.0)))
    assert "but the daemon has written at" in found.summary


# ---- disk ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("room", "level", "summary"),
    [
        (Room(Path("/x"), 800 * MB, None, is_read_only=False), "ok", "800 MB free for /x."),
        (Room(Path("/x"), 800 * MB, 100_000, is_read_only=False), "ok", "800 MB free for /x."),
        (Room(Path("/x"), 49 * MB, 100_000, is_read_only=False), "warn", "nearly full: 49 MB free."),
        (Room(Path("/x"), 800 * MB, 999, is_read_only=False), "warn", "nearly full: 800 MB free, 999 files more."),
        (Room(Path("/x"), MB // 2, 100_000, is_read_only=False), "problem", "is full: 0.5 MB free."),
        (Room(Path("/x"), 800 * MB, 0, is_read_only=False), "problem", "is full: 800 MB free, 0 files more."),
        (Room(Path("/x"), 800 * MB, 100_000, is_read_only=True), "problem", "is read-only"),
    ],
)
def test_room_on_the_disk(room: Room, level: str, summary: str) -> None:
    found = disk.judge(room)
    assert found.level is Level(level)
    assert summary in found.summary
    assert bool(found.mend) is (found.level is not Level.OK)


def test_the_disk_of_a_state_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    room = disk.observe(tmp_path / "state" / "deeper")
    assert (room.path, room.is_read_only) == (tmp_path, False)
    assert room.free == os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize


def test_a_read_only_file_system_is_seen() -> None:
    assert disk.observe(Path("/proc/sys")).is_read_only is bool(os.statvfs("/proc/sys").f_flag & os.ST_RDONLY)


# ---- journal -------------------------------------------------------------------------------------


def write(folder: Path, at: float) -> Path:
    """A journal with one event."""
    path = folder / "state/journal.sqlite3"

    async def run() -> None:
        opened = await Journal.open(path)
        event = Seen(Endpoint(Carrier.SERIAL, "/dev/ttyUSB0", "key"), "")
        await opened.append(evolve(None, event, session_id="s", at=at), event, at)
        await opened.close()

    asyncio.run(run())
    return path


def look(box: Box) -> Finding:
    journal.read.cache_clear()
    (found,) = journal.check(box)
    return found


def test_a_journal_that_can_be_read_is_left_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path, NOW)
    before = {file.name: file.stat() for file in path.parent.iterdir()}
    found = look(box_at(tmp_path))
    assert (found.level, found.summary) == (Level.OK, f"{path} can be read.")
    assert {file.name: file.stat() for file in path.parent.iterdir()} == before


def test_no_journal_yet(tmp_path: Path) -> None:
    assert look(box_at(tmp_path)).level is Level.OK


def test_the_daemon_has_its_journal_to_itself(tmp_path: Path) -> None:
    put(tmp_path, "/state/journal.sqlite3", "being written")
    assert look(box_at(tmp_path, says=status())).summary == "The daemon has its journal open."


def test_what_is_only_in_the_write_ahead_log_is_read_too(tmp_path: Path) -> None:
    """A daemon that was killed has not moved it into the file."""
    path = write(tmp_path, NOW)
    with unfinished(path, "PRAGMA user_version = 99"):
        assert b"SQLite format 3" in path.read_bytes()
        found = look(box_at(tmp_path))
    assert found.code is Code.JOURNAL_TOO_NEW


@contextmanager
def unfinished(path: Path, statement: str) -> Iterator[None]:
    database = sqlite3.connect(path)
    database.execute("PRAGMA wal_autocheckpoint = 0")
    database.execute(statement)
    database.commit()
    yield
    database.close()


def test_a_journal_of_a_newer_version(tmp_path: Path) -> None:
    path = write(tmp_path, NOW)
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    database.close()
    found = look(box_at(tmp_path))
    assert (found.level, found.code) == (Level.PROBLEM, Code.JOURNAL_TOO_NEW)
    assert f"schema {SCHEMA_VERSION + 1}; this one reads up to {SCHEMA_VERSION}" in found.summary


@pytest.mark.parametrize("damage", ["not a database", "torn"])
def test_a_damaged_journal(tmp_path: Path, damage: str) -> None:
    with_systemd(tmp_path)
    path = write(tmp_path, NOW)
    if damage == "torn":
        os.truncate(path, path.stat().st_size - 4096)
    else:
        path.write_text(damage * 100)
    found = look(box_at(tmp_path))
    assert (found.level, found.code) == (Level.PROBLEM, Code.JOURNAL_UNUSABLE)
    away, state = f"{tmp_path}/state/damaged", f"{tmp_path}/state"
    assert found.mend == f"sudo sh -c 'mkdir -m 700 {away} && mv {state}/journal.sqlite3* {away}' && {RESTART}"


def test_a_state_folder_of_somebody_else(public: Path) -> None:
    path = write(public, NOW)
    box = box_at(public)
    box.account = Account("stranger", NOBODY, frozenset())
    found = look(box)
    assert (found.level, found.mend) == (Level.PROBLEM, f"sudo chown -R stranger: {path.parent}")


def test_a_state_folder_that_the_asker_may_not_see_is_left_to_root(public: Path) -> None:
    write(public, NOW)
    box = box_at(public)
    with unprivileged():
        found = look(box)
        assert journal.latest_of(box) is None
    assert (found.level, found.needs_root) == (Level.SKIPPED, True)


def test_a_copy_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, NOW)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("shutil.copyfile", full)
    found = look(box_at(tmp_path))
    assert (found.level, found.needs_root) == (Level.SKIPPED, False)
    assert "No space left on device" in found.summary


def test_the_journal_tells_that_the_clock_was_set_back(tmp_path: Path) -> None:
    write(tmp_path, time.time() + 86400.0)
    journal.read.cache_clear()
    (found,) = clock.check(box_at(tmp_path))
    assert "but the daemon has written at" in found.summary
