"""Serial ports without a blocking call on the event loop.

pyserial opens a port and sets it up, in a thread; the bytes then go through the event loop's own
readiness callbacks.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import termios
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import serial

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.transports.port_holder import holder_of

# An open, an ioctl or a close may take seconds on a port whose device has just vanished: threads of
# their own, so that nothing else waits for them.
_THREADS = ThreadPoolExecutor(max_workers=2 * policy.SESSIONS_AT_ONCE, thread_name_prefix="serial")
# What the driver had queued before the open shows up only shortly after it.
_SETTLE = 0.01
_READ_SIZE = 4096
_UNREAD_MOST = 64 * 1024
_SHORTLY = {errno.EACCES, errno.EPERM, errno.EBUSY, errno.EAGAIN}
_DENIED = {errno.EACCES, errno.EPERM}
_HELD = {errno.EBUSY, errno.EAGAIN}
_GONE = {errno.ENOENT, errno.ENODEV, errno.ENXIO}
_NO_MODEM_LINES = {errno.ENOTTY, errno.EINVAL}

_T = TypeVar("_T")


async def open_port(address: str, baud: int, *, retry_for: float = policy.OPEN_RETRY) -> SerialStream:
    """Opens a serial port for this process alone and lets go of its modem lines.

    A port that is denied or busy is tried again for ``retry_for`` seconds: udev may still be setting
    its rights, or ModemManager looking at it. Cancelled at any moment, it leaves no port open.

    Args:
        address: Path of the device node, or of a link to it.
        baud: Bits per second, 8N1.

    Raises:
        UcmError: ``port_denied``, ``port_busy`` (naming who holds it), ``port_unusable`` or
            ``device_gone``.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + retry_for
    while True:
        try:
            return SerialStream(await _opened(address, baud))
        except OSError as error:
            if error.errno not in _SHORTLY or loop.time() >= deadline:
                raise await asyncio.wrap_future(_THREADS.submit(_explained, error, address)) from error
        await asyncio.sleep(policy.OPEN_RETRY_EVERY)


async def _opened(address: str, baud: int) -> serial.Serial:
    job: Future[serial.Serial] = _THREADS.submit(_open, address, baud)
    try:
        return await asyncio.wrap_future(job)
    except asyncio.CancelledError:
        job.add_done_callback(_close_unwanted)
        raise


def _close_unwanted(job: Future[serial.Serial]) -> None:
    if not job.cancelled() and not job.exception():
        _THREADS.submit(_close, job.result())


# ---- in a thread ---------------------------------------------------------------------------------


def _open(address: str, baud: int) -> serial.Serial:
    try:
        port = serial.Serial(address, baud, exclusive=True)
    except serial.SerialException as error:
        raise OSError(_errno_of(error), str(error)) from error
    except (termios.error, ValueError) as error:
        raise OSError(_errno_of(error), str(error)) from error
    try:
        _set_up(port)
    except BaseException:
        port.close()
        raise
    return port


def _set_up(port: serial.Serial) -> None:
    _release_modem_lines(port)
    try:
        # flock keeps polite openers away, this the others.
        fcntl.ioctl(port.fileno(), termios.TIOCEXCL)
        _tell_no_data_from_no_device(port.fileno())
        time.sleep(_SETTLE)
        termios.tcflush(port.fileno(), termios.TCIOFLUSH)
    except termios.error as error:
        raise OSError(*error.args) from error


def _release_modem_lines(port: serial.Serial) -> None:
    # The kernel raises both lines on open. RTS goes first: DTR first would pass through the one
    # state that pulls an ESP32's reset low.
    with _tolerated(_NO_MODEM_LINES):
        port.rts = False
        port.dtr = False


def _tell_no_data_from_no_device(fd: int) -> None:
    # pyserial sets VMIN 0, with which an idle tty reads as b"" like one that is gone.
    attributes = termios.tcgetattr(fd)
    attributes[6][termios.VMIN] = 1
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


def _close(port: serial.Serial) -> None:
    fd = port.fileno()
    with contextlib.suppress(OSError, termios.error):
        termios.tcflush(fd, termios.TCIOFLUSH)  # the kernel would wait up to 30 s for unsent bytes
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, termios.TIOCNXCL)  # outlives us on a pseudo-terminal that its other end keeps open
    with contextlib.suppress(OSError):
        port.close()


@contextlib.contextmanager
def _tolerated(numbers: set[int]):  # type: ignore[no-untyped-def]
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            raise
