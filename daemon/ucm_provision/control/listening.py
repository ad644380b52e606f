"""Where the control API listens: on sockets that systemd has opened, else on one of the daemon's own."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aiohttp import web

from ucm_provision.core.errors import Code, UcmError

_SOCKET_MODE = 0o660
# Seconds that a living daemon may take to accept a connection.
_PROBE_DEADLINE = 1.0
_OPERATORS = "ucm-operators"
# Seconds that an answer which is being written may take when the daemon stops.
_SHUTDOWN = 1.0


@asynccontextmanager
async def serving(
    application: web.Application, listener: socket.socket, tls: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """Serves the application on a socket for as long as the context lasts."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN)
    await runner.setup()
    try:
        await web.SockSite(runner, listener, ssl_context=tls).start()
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serving_at(application: web.Application, path: Path) -> AsyncIterator[None]:
    """Serves the application on a Unix socket of our own, which is there for as long as the context lasts.

    Raises:
        UcmError: control_unusable, when the socket cannot be made; already_running, when another daemon answers on it.
    """
    listener = await asyncio.to_thread(_listen, path)
    try:
        async with serving(application, listener):
            yield
    finally:
        await asyncio.to_thread(path.unlink, missing_ok=True)


def listen_at(address: str, port: int) -> socket.socket:
    """A TCP socket for the page. ``port`` 0: any that is free.

    Raises:
        UcmError: control_unusable.
    """
    try:
        return socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise UcmError(Code.CONTROL_UNUSABLE, f"{address}, port {port}: {why}") from error


def _listen(path: Path) -> socket.socket:
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _remove_stale(path)
        return _bound(path)
    except OSError as error:
        raise UcmError(Code.CONTROL_UNUSABLE, f"{path}: {error.strerror or error}") from error


def _bound(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
        path.chmod(_SOCKET_MODE)
        _hand_to_operators(path)
    except BaseException:
        listener.close()
        raise
    return listener


def _hand_to_operators(path: Path) -> None:
    """On a box set up for it, members of this group may speak to the daemon; elsewhere only its own user."""
    with suppress(LookupError, PermissionError):
        shutil.chown(path, group=_OPERATORS)


def _remove_stale(path: Path) -> None:
    """A daemon that was killed leaves its socket behind; one that lives still answers on it."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_DEADLINE)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except TimeoutError:
            pass  # it lives, but has no time for us
    raise UcmError(Code.ALREADY_RUNNING, f"it answers on {path}")
