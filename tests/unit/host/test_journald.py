"""An event of the log becomes an entry of systemd's journal, field by field."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ucm_provision.host import journald
from ucm_provision.host.journald import MESSAGE_IDS, Journal, as_fields, goes_to_journal

PROGRAM = Path(__file__).with_name("failing_program.py")
CANARY = "canary-5f1c"


def parse(entry: bytes) -> dict[str, str]:
    """An entry as systemd reads it: NAME=value, or NAME, the value's length in 64 bits and the value."""
    fields = {}
    while entry:
        line, _, rest = entry.partition(b"\n")
        if b"=" in line:
            name, _, value = line.partition(b"=")
        else:
            name, length = line, int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + length], rest[8 + length + 1 :]
        fields[name.decode()] = value.decode()
        entry = rest
    return fields


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "journal"))
        end.settimeout(10)
        yield end


def test_an_event_is_searchable_and_readable(journal: socket.socket) -> None:
    event = {"event": "step done", "level": "warning", "UCM_HWID": "C879", "seconds": 0.5, "none": None}
    Journal(journal.getsockname()).send(as_fields(None, "", event))
    assert parse(journal.recv(65536)) == {
        "MESSAGE": "step done UCM_HWID=C879 seconds=0.5",
        "PRIORITY": "4",
        "UCM_HWID": "C879",
        "UCM_SECONDS": "0.5",
    }


def test_what_has_several_lines_stays_whole(journal: socket.socket) -> None:
    event = {"event": "failed", "level": "error", "exception": "Traceback\n  line=1\n", "odd key-é": "a\nb"}
    Journal(journal.getsockname()).send(as_fields(None, "", event))
    fields = parse(journal.recv(65536))
    assert fields["MESSAGE"] == "failed odd key-é=a\nb\nTraceback\n  line=1\n"
    assert fields["UCM_ODD_KEY__"] == "a\nb"


def test_an_entry_is_bounded(journal: socket.socket) -> None:
    Journal(journal.getsockname()).send(as_fields(None, "", {"event": "x" * 1_000_000, "level": "info"}))
    assert len(journal.recv(1_000_000)) < 100_000


def test_a_journal_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    Journal(str(tmp_path / "gone")).send({"MESSAGE": "heard by nobody"})


def test_notable_events_have_an_id_of_their_own() -> None:
    marked = as_fields(None, "", {"event": "The port is held by …", "notable": "module needs a person"})
    assert marked["MESSAGE_ID"] == MESSAGE_IDS["module needs a person"]
    assert "notable" not in marked["MESSAGE"]
    assert as_fields(None, "", {"event": "module verified"})["MESSAGE_ID"] == MESSAGE_IDS["module verified"]
    assert len(set(MESSAGE_IDS.values())) == len(MESSAGE_IDS)


def test_the_documentation_lists_the_ids() -> None:
    operations = (Path(__file__).parents[3] / "docs/OPERATIONS.md").read_text()
    for what, message_id in MESSAGE_IDS.items():
        assert f"| {what} | `{message_id}` |" in operations


def test_the_daemon_s_log_goes_there_when_systemd_says_so(journal: socket.socket) -> None:
    """$JOURNAL_STREAM is there, and names what standard error is."""
    script = (
        f"import ucm_provision.host.journald as j; j.Journal.__init__.__defaults__ = ({journal.getsockname()!r},)\n"
    )
    script += PROGRAM.read_text().replace("from __future__ import annotations\n", "")
    read, write = os.pipe()
    status = os.fstat(write)
    environment = os.environ | {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    try:
        arguments = [sys.executable, "-c", script, "info", CANARY]
        subprocess.run(arguments, stderr=write, env=environment, check=True, timeout=30)
    finally:
        os.close(write)
    with os.fdopen(read, "rb") as stderr:
        assert stderr.read() == b""
    started, failed, library = (parse(journal.recv(65536)) for _ in range(3))
    assert (started["MESSAGE"], started["UCM_HWID"]) == ("daemon started UCM_HWID=C879 secret=<secret>", "C879")
    assert started["MESSAGE_ID"] == MESSAGE_IDS["daemon started"]
    assert (failed["PRIORITY"], failed["UCM_SESSION"]) == ("3", "0a1b")
    assert "RuntimeError: a passphrase of 11" in failed["MESSAGE"]
    assert (library["MESSAGE"], library["UCM_LOGGER"]) == ("something is wrong logger=library", "library")
    assert CANARY not in str((started, failed, library))


def test_another_stream_is_not_the_journal() -> None:
    assert not goes_to_journal(sys.stderr, {"JOURNAL_STREAM": "1:2"})
    assert not goes_to_journal(sys.stderr, {"JOURNAL_STREAM": "nonsense"})
    assert not goes_to_journal(sys.stderr, {})


def test_a_library_s_traceback_is_told(journal: socket.socket) -> None:
    handler = journald.JournalHandler(Journal(journal.getsockname()))
    try:
        int("odd")
    except ValueError:
        record = logging.LogRecord("library", logging.ERROR, "", 0, "it %s", ("broke",), sys.exc_info())
    handler.emit(record)
    assert "it broke logger=library\nTraceback" in parse(journal.recv(65536))["MESSAGE"]
