"""One event a line, for machines and for people, and never what a local variable held."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

PROGRAM = str(Path(__file__).with_name("failing_program.py"))
CANARY = "canary-5f1c"


def in_a_pipe(level: str) -> list[str]:
    run = subprocess.run(
        [sys.executable, PROGRAM, level, CANARY], capture_output=True, text=True, timeout=20, check=True
    )
    assert run.stdout == ""
    assert CANARY not in run.stderr
    return run.stderr.splitlines()


def on_a_terminal(level: str) -> str:
    """What a person sees; read to the end, which the kernel tells as an error."""
    terminal, program_side = pty.openpty()
    with subprocess.Popen([sys.executable, PROGRAM, level, CANARY], stderr=program_side) as program:
        os.close(program_side)
        shown = b""
        try:
            while chunk := os.read(terminal, 4096):
                shown += chunk
        except OSError:
            pass
        os.close(terminal)
    assert program.returncode == 0
    return shown.decode()


def test_without_a_terminal_every_event_is_one_line_of_json() -> None:
    started, failed, library = (json.loads(line) for line in in_a_pipe("info"))
    at = datetime.fromisoformat(started.pop("timestamp"))
    assert timedelta(0) <= datetime.now(UTC) - at < timedelta(minutes=1)
    assert started == {"event": "daemon started", "level": "info", "UCM_HWID": "C879", "secret": "<secret>"}
    assert (failed["event"], failed["level"], failed["UCM_SESSION"]) == ("session failed unexpectedly", "error", "0a1b")
    assert "RuntimeError: a passphrase of 11" in failed["exception"]
    assert (library["event"], library["level"], library["logger"]) == ("something is wrong", "warning", "library")


@pytest.mark.parametrize(
    ("level", "events"),
    [
        ("debug", ["a detail", "daemon started", "session failed unexpectedly"]),
        ("info", ["daemon started", "session failed unexpectedly"]),
        ("warning", ["session failed unexpectedly"]),
        ("error", ["session failed unexpectedly"]),
    ],
)
def test_the_level_says_how_much(level: str, events: list[str]) -> None:
    said = [json.loads(line) for line in in_a_pipe(level)]
    assert [line["event"] for line in said if "logger" not in line] == events


def test_on_a_terminal_a_traceback_shows_code_but_no_variables() -> None:
    shown = on_a_terminal("info")
    assert "daemon started" in shown
    assert "Traceback (most recent call last)" in shown
    assert "RuntimeError: a passphrase of 11" in shown
    assert '"event"' not in shown
    assert "fail(canary)" in shown
    assert CANARY not in shown
