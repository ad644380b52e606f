"""What systemd's own words on the service come to, and whether the daemon behind the socket is the right one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.doctor.boxes import box_at, status, with_systemd
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.doctor import daemon, service
from ucm_provision.doctor.box import parse_properties
from ucm_provision.doctor.finding import Level

# As `systemctl show` of systemd 252 prints them.
RUNNING = """MainPID=112
StatusText=2 verified; 1 waiting for you (pop_missing)
Result=success
ExecMainStatus=0
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
NeedDaemonReload=no
"""
FAILED = """MainPID=0
StatusText=TOKEN_MISSING: There is no token for the provisioning API.
Result=exit-code
ExecMainStatus=78
LoadState=loaded
ActiveState=failed
SubState=failed
UnitFileState=enabled
NeedDaemonReload=no
"""
START = "sudo systemctl reset-failed ucm-provisiond && sudo systemctl start ucm-provisiond"
UNMASK = "sudo systemctl unmask ucm-provisiond"
INSTALL = "sudo apt install ./ucm-provisiond_*.deb"
VERIFY = "systemd-analyze verify ucm-provisiond.service"
ENABLE = "sudo systemctl enable --now ucm-provisiond"


def changed(text: str, **properties: str) -> dict[str, str]:
    return parse_properties(text) | properties


@pytest.mark.parametrize(
    ("unit", "level", "summary", "mend"),
    [
        (changed(RUNNING), "ok", "runs: 2 verified; 1 waiting for you (pop_missing).", ""),
        (changed(RUNNING, StatusText=""), "ok", "ucm-provisiond.service runs.", ""),
        (changed(RUNNING, UnitFileState="disabled"), "warn", "does not start with", ENABLE.replace("--now ", "")),
        (
            changed(RUNNING, NeedDaemonReload="yes"),
            "warn",
            "has changed on disk",
            "sudo systemctl daemon-reload && sudo systemctl restart ucm-provisiond",
        ),
        (changed(FAILED), "problem", "has failed: exit status 78.", START),
        (changed(FAILED, Result="watchdog"), "problem", "has failed: it made no progress", START),
        (changed(FAILED, Result="start-limit-hit"), "problem", "has failed: it failed too often", START),
        (changed(FAILED, Result="core-dump"), "problem", "has failed: core-dump.", START),
        (changed(FAILED, ActiveState="activating", SubState="auto-restart"), "problem", "fails again and again", ""),
        (changed(RUNNING, ActiveState="activating", SubState="start"), "warn", "is activating right now", ""),
        (changed(RUNNING, ActiveState="inactive", SubState="dead"), "problem", "is stopped", ENABLE),
        (changed(RUNNING, LoadState="masked"), "problem", "is masked", f"{UNMASK} && {ENABLE}"),
        (changed(RUNNING, LoadState="not-found"), "problem", "is not installed", INSTALL),
        (changed(RUNNING, LoadState="bad-setting"), "problem", "(bad-setting)", VERIFY),
    ],
)  # fmt: skip
def test_the_service(unit: dict[str, str], level: str, summary: str, mend: str) -> None:
    found = service.judge(unit)
    assert (found.level, found.mend) == (Level(level), mend)
    assert summary in found.summary


def test_a_failure_brings_the_daemon_s_last_word_and_what_its_exit_status_means() -> None:
    details = service.judge(changed(FAILED)).details
    assert details[0] == "Its word: TOKEN_MISSING: There is no token for the provisioning API."
    assert details[1].startswith("Something that it needs is wrong or missing. Mend the other problems first")
    assert details[2] == "Its log: journalctl -u ucm-provisiond -n 20"


def test_properties_that_come_more_than_once() -> None:
    text = "DeviceAllow=char-166 rw\nDeviceAllow=char-188 rw\nStatusText=a=b\n\nno property\n"
    assert parse_properties(text) == {"DeviceAllow": "char-166 rw\nchar-188 rw", "StatusText": "a=b"}


def test_without_systemd_it_says_so_and_asks_nobody(tmp_path: Path) -> None:
    (found,) = service.check(box_at(tmp_path, commands={"systemctl": FAILED}))
    assert found.level is Level.SKIPPED
    assert "systemd does not run" in found.summary


@pytest.mark.parametrize(("printed", "level"), [(RUNNING, Level.OK), (FAILED, Level.PROBLEM), (None, Level.SKIPPED)])
def test_with_systemd_it_is_asked(tmp_path: Path, printed: str | None, level: Level) -> None:
    with_systemd(tmp_path)
    (found,) = service.check(box_at(tmp_path, commands={"systemctl": printed} if printed else {}))
    assert found.level is level


def test_a_daemon_that_runs_without_the_service_does_not_miss_it(tmp_path: Path) -> None:
    with_systemd(tmp_path)
    (found,) = service.check(box_at(tmp_path, says=status(), commands={"systemctl": "LoadState=not-found\n"}))
    assert found.level is Level.SKIPPED


# ---- the daemon behind the socket ----------------------------------------------------------------


def silence(cause: OSError) -> UcmError:
    error = UcmError(Code.DAEMON_UNREACHABLE, "/run/x: why")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "level", "summary"),
    [
        (FileNotFoundError(), "problem", "Nobody listens on"),
        (ConnectionRefusedError(), "problem", "Nobody listens on"),
        (TimeoutError(), "problem", "does not answer"),
        (PermissionError(), "skipped", "you have no right to"),
        (OSError(), "problem", "cannot be asked: /run/x: why"),
    ],
)
def test_why_the_daemon_is_silent(tmp_path: Path, cause: OSError, level: str, summary: str) -> None:
    (found,) = daemon.check(box_at(tmp_path, says=silence(cause)))
    assert found.level is Level(level)
    assert summary in found.summary


def test_the_installed_version_is_the_one_that_runs(tmp_path: Path) -> None:
    (found,) = daemon.check(box_at(tmp_path, says=status()))
    assert (found.level, found.summary) == (Level.OK, "Version 0.1.0 answers on /run/ucm-provision/control.sock.")


def test_an_older_version_that_still_runs_after_an_upgrade(tmp_path: Path) -> None:
    with_systemd(tmp_path)
    (found,) = daemon.check(box_at(tmp_path, says=status(version="0.0.9"), commands={"systemctl": RUNNING}))
    assert (found.level, found.mend) == (Level.WARN, "sudo systemctl restart ucm-provisiond")
    assert "0.0.9 runs, but 0.1.0 is installed" in found.summary


def test_a_stopped_service_is_not_started_by_asking_it(tmp_path: Path) -> None:
    """Its socket belongs to systemd, which would start it for whoever connects."""
    with_systemd(tmp_path)
    stopped = box_at(tmp_path, says=status(), commands={"systemctl": FAILED})
    (found,) = daemon.check(stopped)
    assert (found.level, found.summary) == (Level.SKIPPED, "Not asked: its service does not run.")
    assert stopped.status is None


def test_a_socket_that_was_given_by_hand_is_asked_whatever_the_service_does(tmp_path: Path) -> None:
    with_systemd(tmp_path)
    (found,) = daemon.check(box_at(tmp_path, says=status(), commands={"systemctl": FAILED}, control="/tmp/other.sock"))
    assert found.summary == "Version 0.1.0 answers on /tmp/other.sock."
