"""The journal: is it there, whole, the daemon's own, and not of a newer version?"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shlex import quote

from ucm_provision.core.errors import Code
from ucm_provision.core.text import one_line
from ucm_provision.doctor.account import ENTER, READ, WRITE, Account, ownership
from ucm_provision.doctor.box import Box
from ucm_provision.doctor.finding import Finding, ok, problem, skipped
from ucm_provision.store.journal import SCHEMA_VERSION

_CHECK = "journal"
_NAME = "journal.sqlite3"
_DAMAGE_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Journal:
    """
    Attributes:
        schema: The version of its schema.
        latest: When its last event was written, in seconds since the epoch; None: it has none.
        damage: What is wrong with it; empty: nothing.
    """

    path: Path
    schema: int = 0
    latest: float | None = None
    damage: str = ""


def check(box: Box) -> Iterator[Finding]:
    if box.status or box.daemon_pid:
        yield ok(_CHECK, "The daemon has its journal open.")
        return
    try:
        yield _found(box)
    except PermissionError:
        yield skipped(_CHECK, f"{box.state} is closed to you, as it should be.", needs_root=True)
    except FileNotFoundError:
        yield ok(_CHECK, f"There is no journal yet; the daemon makes one in {box.state} when it starts.")
    except OSError as error:
        yield skipped(_CHECK, f"A copy of it cannot be made to look at: {error.strerror}.")


def _found(box: Box) -> Finding:
    if box.account and (foreign := _foreign(box.state, box.account)):
        return not_its_own(box.state, foreign, box.account, box.then_restart)
    return judge(read(box.state / _NAME), box.then_restart)


def latest_of(box: Box) -> float | None:
    """When the daemon wrote last, as far as we may know: by the modules that it shows, else by the journal."""
    if box.status:
        return max((module["updated_at"] for module in box.modules()), default=box.status["started_at"])
    if box.daemon_pid:
        return None
    try:
        return read(box.state / _NAME).latest
    except OSError:
        return None


@cache
def read(path: Path) -> Journal:
    """Looks at a copy: SQLite would leave files of ours in the daemon's folder.

    Raises:
        OSError: it is not there, or cannot be copied.
    """
    path.stat()
    with tempfile.TemporaryDirectory(prefix="ucmctl-doctor-") as folder:
        copy = Path(folder, _NAME)
        for suffix in ("", "-wal"):
            source = path.with_name(path.name + suffix)
            if source.exists():
                shutil.copyfile(source, copy.with_name(copy.name + suffix))
        return _read_copy(path, copy)


def _read_copy(path: Path, copy: Path) -> Journal:
    try:
        with closing(sqlite3.connect(copy)) as database:
            (schema,) = database.execute("PRAGMA user_version").fetchone()
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                return Journal(path, schema, damage=one_line(verdict, _DAMAGE_SHOWN))
            if not 0 < schema <= SCHEMA_VERSION:
                return Journal(path, schema)
            (latest,) = database.execute("SELECT max(at) FROM events").fetchone()
    except sqlite3.Error as error:
        return Journal(path, damage=str(error))
    return Journal(path, schema, latest)


def judge(journal: Journal, then_restart: Callable[[str], str]) -> Finding:
    if journal.damage:
        return problem(
            _CHECK,
            f"The journal {journal.path} is damaged: {journal.damage}.",
            "Restore it from a backup; or move it away with the command, and every module is looked at once more.",
            mend=then_restart(_move_away(journal.path)),
            code=Code.JOURNAL_UNUSABLE,
        )
    if journal.schema > SCHEMA_VERSION:
        return problem(
            _CHECK,
            f"The journal is of a newer version of the daemon (schema {journal.schema}; this one reads up to "
            f"{SCHEMA_VERSION}).",
            "Install that version again, or put back the backup from before the upgrade.",
            mend="sudo apt install ./ucm-provisiond_*.deb",
            code=Code.JOURNAL_TOO_NEW,
        )
    return ok(_CHECK, f"{journal.path} can be read.")


def _move_away(path: Path) -> str:
    away = quote(str(path.with_name("damaged")))
    return f"sudo sh -c {quote(f'mkdir -m 700 {away} && mv {quote(str(path))}* {away}')}"


def _foreign(folder: Path, account: Account) -> Path | None:
    """What in the state folder its user cannot use as its own."""
    for path, wanted in ((folder, READ | WRITE | ENTER), (folder / _NAME, READ | WRITE)):
        if obstacle := account.obstacle(path, wanted):
            return obstacle
    return None


def not_its_own(folder: Path, foreign: Path, account: Account, then_restart: Callable[[str], str]) -> Finding:
    """The finding for a state folder that the daemon's user cannot use."""
    return problem(
        _CHECK,
        f"The daemon's user {account.name} may not write {foreign}: it is {ownership(foreign.stat())}.",
        mend=then_restart(f"sudo chown -R {account.name}: {quote(str(folder))}"),
        code=Code.JOURNAL_UNUSABLE,
    )
