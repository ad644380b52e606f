"""What systemd and the daemon tell each other: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3).

Each is a datagram or a few environment variables, so no library is needed. Without systemd nothing is said.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Final

_FIRST_PASSED: Final = 3  # SD_LISTEN_FDS_START
_STATUS_LONGEST: Final = 500


class ServiceManager:
    """The one that started this process, if it wants to hear how the process fares."""

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        self._address = address
        self._status = ""
        #: Seconds within which a sign of life is expected; None: none is.
        self.watchdog_s = watchdog_s if address else None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> ServiceManager:
        return cls(environment.get("NOTIFY_SOCKET"), _watchdog_seconds(environment))

    def ready(self) -> None:
        self._tell("READY=1")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def alive(self) -> None:
        self._tell("WATCHDOG=1")

    def be_patient(self, seconds: float) -> None:
        """Asks for this much more time to start, counted from now."""
        self._tell(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def status(self, text: str) -> None:
        """The line that ``systemctl status`` shows. Said once for each change."""
        line = " ".join(text.split())[:_STATUS_LONGEST]
        if line != self._status:
            self._status = line
            self._tell(f"STATUS={line}")

    def _tell(self, message: str) -> None:
        """A manager that does not listen must not hold anybody up."""
        if not self._address:
            return
        where = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as to_manager:
            to_manager.sendto(message.encode(), where)


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    microseconds, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    for_us = not pid or pid == str(os.getpid())
    return int(microseconds) / 1e6 if microseconds.isdigit() and int(microseconds) and for_us else None


def passed_sockets(environment: MutableMapping[str, str] = os.environ) -> dict[str, socket.socket]:
    """The listening sockets that systemd has opened for us, by their FileDescriptorName=.

    To be called once: it takes the variables away, so that no child takes the sockets for its own.
    """
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdigit():
        return {}
    return {name: _own(_FIRST_PASSED + index) for index, name in enumerate(names[: int(count)])}


def _own(descriptor: int) -> socket.socket:
    passed = socket.socket(fileno=descriptor)
    passed.set_inheritable(False)
    passed.setblocking(False)
    return passed
