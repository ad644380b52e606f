"""Who may speak to the daemon, and as whom it runs."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.doctor.boxes import NOBODY, box_at, process, put, unprivileged, with_systemd
from ucm_provision.doctor import account, operators, user
from ucm_provision.doctor.account import READ, WRITE, Account
from ucm_provision.doctor.finding import Level
from ucm_provision.doctor.operators import Person

ANNA = Person(
    name="anna", is_root=False, reaches=False, closed="", exists=True, is_listed=False, is_member=False
)  # fmt: skip
ADD = "sudo usermod -aG ucm-operators anna"


@pytest.mark.parametrize(
    ("person", "level", "summary", "mend"),
    [
        (replace(ANNA, is_root=True), "ok", "You are root", ""),
        (replace(ANNA, reaches=True), "ok", "You (anna) may speak to the daemon.", ""),
        (replace(ANNA, is_listed=True, is_member=True), "ok", "anna is in the group", ""),
        (ANNA, "problem", "anna is not in the group ucm-operators", ADD),
        (replace(ANNA, is_listed=True), "problem", "after signing in", "newgrp ucm-operators"),
        (replace(ANNA, exists=False, is_member=None), "problem", "does not exist", f"sudo systemd-sysusers && {ADD}"),
        # behind sudo: root asks, and how anna has signed in cannot be told
        (replace(ANNA, is_member=None), "warn", "anna is not in the group ucm-operators", ADD),
        (replace(ANNA, is_member=None, is_listed=True), "ok", "anna is in the group", ""),
        # in the group, and it does not help
        (
            replace(ANNA, is_listed=True, is_member=True, closed="root:root, mode 0660"),
            "problem",
            "the daemon's socket is root:root, mode 0660",
            "sudo systemctl restart ucm-provisiond.socket ucm-provisiond",
        ),
    ],
)
def test_who_may_speak_to_the_daemon(person: Person, level: str, summary: str, mend: str) -> None:
    found = operators.judge(person)
    assert (found.level, found.mend) == (Level(level), mend)
    assert summary in found.summary


@pytest.fixture
def closed_socket(public: Path) -> Iterator[Path]:
    """A daemon's socket that only its owner, who is somebody else, may open."""
    path = public / "control.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0)
        yield path


def test_a_socket_that_is_closed_to_the_asker(tmp_path: Path, closed_socket: Path) -> None:
    box = box_at(tmp_path, control=str(closed_socket))
    with unprivileged():
        (found,) = operators.check(box)
    assert found.level is Level.PROBLEM
    assert "ucm-operators" in found.summary


def test_a_socket_that_is_open_to_the_asker(tmp_path: Path, closed_socket: Path) -> None:
    closed_socket.chmod(0o666)
    (found,) = operators.check(box_at(tmp_path, control=str(closed_socket)))
    assert found.level is Level.OK


# ---- the daemon's user ---------------------------------------------------------------------------


def test_the_user_of_the_process_that_runs(tmp_path: Path) -> None:
    with_systemd(tmp_path)
    process(
        tmp_path,
        112,
        "ucm-provisiond",
        status="Name:\tx\nUid:\t990\t991\t991\t991\nGid:\t9\t992\t9\t9\nGroups:\t20 993 \n",
    )
    box = box_at(tmp_path, commands={"systemctl": "LoadState=loaded\nActiveState=active\nMainPID=112\n"})
    assert box.account
    assert (box.account.uid, box.account.groups) == (991, {992, 20, 993})
    (found,) = user.check(box)
    assert found.level is Level.OK


def test_the_user_that_the_service_would_be_started_as(tmp_path: Path) -> None:
    with_systemd(tmp_path)
    unit = "LoadState=loaded\nActiveState=inactive\nMainPID=0\nUser=daemon\nGroup=adm\nSupplementaryGroups=dialout\n"
    (found,) = user.check(box_at(tmp_path, commands={"systemctl": unit}))
    assert found.summary == "The daemon's user is daemon, in the groups adm, daemon, dialout."


def test_a_user_that_does_not_exist(tmp_path: Path) -> None:
    with_systemd(tmp_path)
    (found,) = user.check(box_at(tmp_path, commands={"systemctl": "LoadState=loaded\nUser=nobody-of-this-name\n"}))
    assert (found.level, found.mend.partition(" && ")[0]) == (Level.PROBLEM, "sudo systemd-sysusers")


def test_nobody_is_missing_where_nothing_is_installed(tmp_path: Path) -> None:
    (found,) = user.check(box_at(tmp_path))
    assert found.level is Level.SKIPPED


def test_the_user_who_listens_on_the_socket_where_there_is_no_systemd(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    put(tmp_path, f"/proc/{os.getpid()}/status", Path("/proc/self/status").read_text())
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        box = box_at(tmp_path, control=str(path))
        assert box.daemon_pid == os.getpid()
    assert box.account
    assert (box.account.uid, box.account.groups) == (os.geteuid(), {os.getegid(), *os.getgroups()})


# ---- rights --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "owner", "group", "wanted", "may"),
    [
        (0o600, 7, 0, READ | WRITE, True),
        (0o600, 8, 0, READ, False),
        (0o660, 8, 20, READ | WRITE, True),
        (0o660, 8, 21, READ, False),
        (0o640, 8, 20, READ | WRITE, False),
        (0o666, 8, 21, READ | WRITE, True),
        # the owner's bits count for the owner alone, the group's for its members alone
        (0o066, 7, 20, READ, False),
        (0o606, 8, 20, READ, False),
    ],
)
def test_what_a_mode_allows(mode: int, owner: int, group: int, wanted: int, *, may: bool) -> None:
    node = os.stat_result((0o020000 | mode, 0, 0, 1, owner, group, 0, 0, 0, 0))
    assert Account("x", 7, frozenset({20})).may(node, wanted) is may
    assert Account("root", 0, frozenset({0})).may(node, wanted)


def test_what_keeps_a_user_from_a_file(public: Path) -> None:
    stranger = Account("nobody", NOBODY, frozenset({NOBODY}))
    file = put(public, "folder/inner/file", "")
    for each in (file, file.parent, file.parent.parent):
        each.chmod(0o755)
    assert stranger.obstacle(file) is None
    assert stranger.obstacle(file, READ | WRITE) == file
    file.parent.chmod(0o700)
    assert stranger.obstacle(file) == file.parent
    (public / "link").symlink_to(file)
    assert stranger.obstacle(public / "link") == file.parent
    with pytest.raises(FileNotFoundError):
        stranger.obstacle(public / "nothing")


def test_ownership_in_words() -> None:
    node = os.stat_result((0o100640, 0, 0, 1, 0, 0, 0, 0, 0, 0))
    assert account.ownership(node) == "root:root, mode 0640"
    unknown = os.stat_result((0o100600, 0, 0, 1, 4242424, 4242424, 0, 0, 0, 0))
    assert account.ownership(unknown) == "uid 4242424:4242424, mode 0600"
