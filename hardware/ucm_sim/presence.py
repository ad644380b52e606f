"""Notices when a host program opens or closes the module's pseudo-terminal.

The module keeps the terminal's slave side open itself, else its reads would fail with EIO while nobody is
there; so the kernel's own sign, a hang-up, never comes. inotify reports each opening and closing instead.
It cannot tell a reader from a program that only looks, nor does it have to: the kernel raises DTR and RTS
for both.
"""

import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path

_IN_CLOSE_WRITE = 0x08
_IN_CLOSE_NOWRITE = 0x10
_IN_OPEN = 0x20
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows
_BUFFER = 64 * _EVENT.size

_libc = ctypes.CDLL(None, use_errno=True)


class HostPresence:
    """Counts the hosts on a terminal. `arrived()` is called at the first, `left()` after the last."""

    def __init__(self, terminal: Path, arrived: Callable[[], None], left: Callable[[], None]) -> None:
        self._arrived = arrived
        self._left = left
        self._hosts = 0
        self.descriptor: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        mask = _IN_OPEN | _IN_CLOSE_WRITE | _IN_CLOSE_NOWRITE
        if self.descriptor < 0 or _libc.inotify_add_watch(self.descriptor, os.fsencode(terminal), mask) < 0:
            raise OSError(ctypes.get_errno(), "inotify is needed to see the terminal opened", str(terminal))

    @property
    def present(self) -> bool:
        return self._hosts > 0

    def catch_up(self) -> None:
        """Handle what has happened since the last call."""
        try:
            events = os.read(self.descriptor, _BUFFER)
        except BlockingIOError:
            return
        for _, mask, _, _ in _EVENT.iter_unpack(events):
            self._count(1 if mask & _IN_OPEN else -1)

    def close(self) -> None:
        os.close(self.descriptor)

    def _count(self, change: int) -> None:
        before, self._hosts = self._hosts, self._hosts + change
        if before == 0 and change > 0:
            self._arrived()
        elif self._hosts == 0:
            self._left()
