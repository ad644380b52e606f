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
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import serial

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.transports.port_holder import holder_of

# An open, an ioctl or a close may take seconds on a port whose device has just vanished: threads of
# their own, so that nothing else waits for them.
_THREADS = ThreadPoolExecutor(max_workers=2 * policy.CABLE_SESSIONS_AT_ONCE, thread_name_prefix="serial")
# What the driver had queued before the open shows up only shortly after it.
_SETTLE = 0.01
_READ_SIZE = 4096
_UNREAD_MOST = 64 * 1024
_SHORTLY = {errno.EACCES, errno.EPERM, errno.EBUSY, errno.EAGAIN}
_DENIED = {errno.EACCES, errno.EPERM}
_HELD = {errno.EBUSY, errno.EAGAIN}
_GONE = {errno.ENOENT, errno.ENODEV, errno.ENXIO}
_NO_MODEM_LINES = {errno.ENOTTY, errno.EINVAL}


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


class SerialStream:
    """An open port as a :class:`ucm_provision.core.ports.ByteStream`. Made by :func:`open_port`."""

    def __init__(self, port: serial.Serial) -> None:
        self._port = port
        self._fd = port.fileno()
        self._loop = asyncio.get_running_loop()
        self._unread = bytearray()
        self._stirred = asyncio.Event()  # there are unread bytes, or there will never be more
        self._writable: asyncio.Future[None] | None = None
        self._lost: str | None = None
        self._closed: asyncio.Future[None] | None = None
        self._loop.add_reader(self._fd, self._on_readable)

    @property
    def bits_per_second(self) -> int:
        return int(self._port.baudrate)

    async def read(self) -> bytes:
        await self._stirred.wait()
        if not self._unread:
            raise self._gone()
        data = bytes(self._unread)
        self._unread.clear()
        if self._lost is None:
            self._stirred.clear()
        return data

    async def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._write_some(rest) :]
            if rest:
                await self._until_writable()

    async def close(self) -> None:
        if self._closed is None:
            self._lose("closed")
            self._closed = asyncio.wrap_future(_THREADS.submit(_close, self._port))
        # A port left half-closed would stay locked: the caller may be cancelled, the closing not.
        await asyncio.shield(self._closed)

    def _on_readable(self) -> None:
        try:
            data = os.read(self._fd, _READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error.strerror or "read failed")
            return
        if not data:  # a tty never ends while its device is there
            self._lose("hung up")
            return
        self._unread += data
        del self._unread[:-_UNREAD_MOST]
        self._stirred.set()

    def _write_some(self, data: memoryview) -> int:
        if self._lost is not None:
            raise self._gone()
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._lose(error.strerror or "write failed")
            raise self._gone() from error

    async def _until_writable(self) -> None:
        self._writable = self._loop.create_future()
        self._loop.add_writer(self._fd, self._wake_writer)
        try:
            await self._writable
        finally:
            self._writable = None
            if self._lost is None:
                self._loop.remove_writer(self._fd)

    def _wake_writer(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def _lose(self, why: str) -> None:
        """Nothing more comes or goes. The file descriptor is still ours, and nobody watches it any more."""
        if self._lost is not None:
            return
        self._lost = why
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._wake_writer()
        self._stirred.set()

    def _gone(self) -> UcmError:
        return UcmError(Code.DEVICE_GONE, f"{self._port.name}: {self._lost}")


# ---- in a thread ---------------------------------------------------------------------------------


def _open(address: str, baud: int) -> serial.Serial:
    """Raises OSError, whatever pyserial and termios call it."""
    try:
        port = serial.Serial(address, baud, exclusive=True)
    except (serial.SerialException, termios.error, ValueError) as error:
        raise OSError(_error_number(error), str(error)) from error
    try:
        _set_up(port)
    except BaseException:
        _close(port)
        raise
    return port


def _error_number(error: BaseException) -> int | None:
    # pyserial hides termios' error, number and all, in the context of an error without a number.
    origin = error.__context__ if isinstance(error.__context__, termios.error) else error
    number = origin.args[0] if origin.args else None
    return number if isinstance(number, int) else None


def _set_up(port: serial.Serial) -> None:
    # The kernel raises both lines on open. RTS goes first: DTR first would pass through the one
    # state that pulls an ESP32's reset low.
    _release(port, "rts")
    _release(port, "dtr")
    try:
        fcntl.ioctl(port.fileno(), termios.TIOCEXCL)  # flock keeps polite openers away, this the others
        _tell_idle_from_gone(port.fileno())
        time.sleep(_SETTLE)
        termios.tcflush(port.fileno(), termios.TCIOFLUSH)
    except termios.error as error:
        raise OSError(*error.args) from error


def _release(port: serial.Serial, modem_line: str) -> None:
    try:
        setattr(port, modem_line, False)
    except OSError as error:
        if error.errno not in _NO_MODEM_LINES:
            raise


def _tell_idle_from_gone(fd: int) -> None:
    # pyserial sets VMIN 0, with which an idle tty reads as b"", like one that is gone.
    attributes = termios.tcgetattr(fd)
    attributes[6][termios.VMIN] = 1
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


def _close(port: serial.Serial) -> None:
    with contextlib.suppress(OSError, termios.error):
        termios.tcflush(port.fileno(), termios.TCIOFLUSH)  # else the kernel waits up to 30 s for unsent bytes
    with contextlib.suppress(OSError):
        # The flag outlives us on a pseudo-terminal that its other end keeps open.
        fcntl.ioctl(port.fileno(), termios.TIOCNXCL)
    with contextlib.suppress(OSError):
        port.close()


def _explained(error: OSError, address: str) -> UcmError:
    """The failure that a person reads. Searches /proc for whoever holds a busy port."""
    what = f"{address}: {os.strerror(error.errno) if error.errno else 'not a serial port'}"
    if error.errno in _GONE or not Path(address).exists():
        return UcmError(Code.DEVICE_GONE, what)
    if error.errno in _DENIED:
        return UcmError(Code.PORT_DENIED, what)
    if error.errno in _HELD:
        return UcmError(Code.PORT_BUSY, f"{address}: held by {holder_of(address) or 'a process that cannot be seen'}")
    return UcmError(Code.PORT_UNUSABLE, what)
