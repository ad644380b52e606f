"""What is said to systemd, and what systemd hands over."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service_manager import manager
from ucm_provision.host.systemd import ServiceManager, passed_sockets


@pytest.mark.parametrize("name", ["notify.sock", "@ucm-test-notify"])
def test_what_the_daemon_says(tmp_path: Path, name: str) -> None:
    where = Path(f"{name}-{os.getpid()}") if name.startswith("@") else tmp_path / name
    with manager(where) as heard:
        systemd = ServiceManager.from_environment({"NOTIFY_SOCKET": heard.address})
        systemd.ready()
        systemd.status("two\nlines,  one line")
        systemd.status("two lines, one line")
        systemd.alive()
        systemd.stopping()
        assert heard.drain() == ["READY=1", "STATUS=two lines, one line", "WATCHDOG=1", "STOPPING=1"]


def test_nobody_needs_to_listen(tmp_path: Path) -> None:
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone")}):
        ServiceManager.from_environment(environment).ready()


def test_a_manager_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    with manager(tmp_path / "notify.sock") as heard:
        systemd = ServiceManager.from_environment({"NOTIFY_SOCKET": heard.address})
        for number in range(10_000):
            systemd.status(f"number {number}")


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_how_often_a_sign_of_life_is_wanted(environment: dict[str, str], seconds: float | None) -> None:
    assert ServiceManager.from_environment(environment | {"NOTIFY_SOCKET": "/run/x"}).watchdog_s == seconds
    assert ServiceManager.from_environment(environment).watchdog_s is None


_PROGRAM = """
import os
from ucm_provision.host.systemd import passed_sockets
os.environ["LISTEN_PID"] = os.environ.get("LISTEN_PID") or str(os.getpid())
sockets = passed_sockets()
print({name: each.getsockname()[1] for name, each in sockets.items()}, "LISTEN_FDS" in os.environ)
"""


def run_with_sockets(names: str, *listeners: socket.socket, pid: str = "") -> str:
    """A program that starts with the listeners as its descriptors from 3 on, as systemd does it."""
    environment = {
        "PATH": os.environ["PATH"],
        "LISTEN_FDS": str(len(listeners)),
        "LISTEN_FDNAMES": names,
        "LISTEN_PID": pid,
    }
    numbers = [each.fileno() for each in listeners]
    shuffle = " ".join(f"{10 + index}<&{number}" for index, number in enumerate(numbers))
    final = " ".join(f"{3 + index}<&{10 + index}" for index in range(len(numbers)))
    script = f'exec {shuffle}; exec {final} {sys.executable!r} -c "$PROGRAM"'
    return subprocess.run(
        ["/bin/bash", "-c", script],
        env=environment | {"PROGRAM": _PROGRAM},
        pass_fds=numbers,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout.strip()


def test_the_sockets_that_are_handed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        ports = {"control": first.getsockname()[1], "web": second.getsockname()[1]}
        assert run_with_sockets("control:web", first, second) == f"{ports} False"
        assert run_with_sockets("control:web", first, second, pid="1") == "{} False"


def test_without_systemd_there_are_none() -> None:
    assert passed_sockets({}) == {}
