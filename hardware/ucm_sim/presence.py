"""Notices when a host program opens or closes the module's pseudo-terminal.

Nobody but hosts holds the terminal's slave side: the master's POLLHUP then tells the plain truth about
whether anybody is there. It does not tell when that changes, nor that a host has gone and come back since
the last look; inotify does. inotify in turn merges equal events that follow one another, so its count is
corrected by the truth after each look. What no look can tell is a reader from a program that merely peeks,
nor need it: the kernel raises DTR and RTS for both.
"""

import asyncio
import ctypes
import os
import select
import struct
import termios
from collections.abc import Callable
from pathlib import Path

_IN_CLOSE_WRITE = 0x08
_IN_CLOSE_NOWRITE = 0x10
_IN_OPEN = 0x20
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows: none for a file
_BUFFER = 64 * _EVENT.size

_libc = ctypes.CDLL(None, use_errno=True)


class HostPresence:
    """Counts the hosts on a terminal; `arrived()` is called at the first, `left()` after the last.

    `noticed` is set when a host has opened the terminal, and stays so until somebody clears it.
    """

    def __init__(self, master: int, terminal: Path, arrived: Callable[[], None], left: Callable[[], None]) -> None:
        self._terminal = terminal
        self._arrived = arrived
        self._left = left
        self._hosts = 0
        self._hang_up = select.poll()
        self._hang_up.register(master, 0)  # POLLHUP is reported unasked
        self.noticed = asyncio.Event()
        self.descriptor = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._watch = self._start_watching()

    @property
    def present(self) -> bool:
        return self._hosts > 0

    def catch_up(self) -> None:
        """Handle what has happened since the last call."""
        try:
            events = os.read(self.descriptor, _BUFFER)
        except BlockingIOError:
            return
        # Others belong to a watch that was taken down, its own end among them.
        ours = [mask for watch, mask, _, _ in _EVENT.iter_unpack(events) if watch == self._watch]
        for mask in ours:
            self._count_opening() if mask & _IN_OPEN else self._count_closing()
        if ours:
            self._face_the_truth()

    def close(self) -> None:
        os.close(self.descriptor)

    def _count_opening(self) -> None:
        self._hosts += 1
        self.noticed.set()
        if self._hosts == 1:
            self._arrived()

    def _count_closing(self) -> None:
        self._hosts = max(0, self._hosts - 1)

    def _face_the_truth(self) -> None:
        if self._somebody_is_there():
            self._hosts = max(1, self._hosts)
            return
        self._hosts = 0
        self._discard_unread()
        self._left()
        if self._somebody_is_there():
            # Opened while nobody watched: the event is lost.
            self._count_opening()

    def _somebody_is_there(self) -> bool:
        return not self._hang_up.poll(0)

    def _discard_unread(self) -> None:
        """Throw away what the last host did not read, as a serial driver does at its last close."""
        _checked(_libc.inotify_rm_watch(self.descriptor, self._watch))
        opened = os.open(self._terminal, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        termios.tcflush(opened, termios.TCIFLUSH)
        os.close(opened)
        self._watch = self._start_watching()

    def _start_watching(self) -> int:
        mask = _IN_OPEN | _IN_CLOSE_WRITE | _IN_CLOSE_NOWRITE
        return _checked(_libc.inotify_add_watch(self.descriptor, os.fsencode(self._terminal), mask))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "inotify is needed to see the terminal opened")
    return result
