"""Copies of the journal from before its schema changed: with one of them an upgrade can be taken back."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.private_file import put_private

# A site that goes back goes back a version or two, and a copy is as large as the journal.
_KEPT = 3


def keep_copy(database: sqlite3.Connection, path: Path, version: int) -> Path:
    """Copies the journal at ``path``, which has schema ``version``, beside it, and forgets all but the newest copies.

    The copy is complete on disk or not there, and readable by its owner only from the first byte on.

    Raises:
        UcmError: journal_unusable, there is no room for it.
        sqlite3.Error, OSError: it cannot be written. In either case the journal is as it was.
    """
    _check_room(database, path)
    copy = path.with_name(f"{path.stem}-schema-{version}{path.suffix}")
    new = path.with_name(f".{copy.name}.new")
    new.unlink(missing_ok=True)
    try:
        _copy(database, new)
        put_private(new, copy)
    except BaseException:
        new.unlink(missing_ok=True)  # half a copy would only fill the disk
        raise
    for old in _copies(path)[:-_KEPT]:
        old.unlink()
    return copy


def _check_room(database: sqlite3.Connection, path: Path) -> None:
    """Tried without room, again and again, a copy would wear out the disk that it is to protect from."""
    (size,) = database.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()
    needed, free = size + policy.JOURNAL_ROOM, shutil.disk_usage(path.parent).free
    if free < needed:
        why = f"no room for a copy before its schema changes, {needed} bytes needed, {free} free"
        raise UcmError(Code.JOURNAL_UNUSABLE, f"{path}: {why}")


def _copy(database: sqlite3.Connection, new: Path) -> None:
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(new)) as target:
        # One that fails is thrown away, so it needs no way back; it is synchronised all the same.
        target.execute("PRAGMA journal_mode = OFF")
        database.backup(target)


def _copies(path: Path) -> list[Path]:
    """By schema, oldest first: a clock that was wrong once must not decide which are kept."""
    name = re.compile(rf"{re.escape(path.stem)}-schema-(\d+){re.escape(path.suffix)}")
    found = [(int(match[1]), file) for file in path.parent.iterdir() if (match := name.fullmatch(file.name))]
    return [file for _, file in sorted(found)]
