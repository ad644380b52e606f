"""The command line's end of the control socket. Standard library only: `ucmctl` must start at once."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from ucm_provision.core.errors import Code, Exit, UcmError

DEFAULT_SOCKET = "/run/ucm-provision/control.sock"
# Longer than the pause between two heartbeats of the event stream.
_DEADLINE = 30.0


class DaemonError(Exception):
    """The daemon's own refusal: its sentence, and the exit status that goes with it."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class ControlClient:
    """Asks one daemon. Every call raises UcmError(daemon_unreachable) or DaemonError.

    ``deadline``: how many seconds an answer may take; the stream of events says something more often than that.
    """

    def __init__(self, path: str | None, deadline: float | None = None) -> None:
        self._path = path or os.environ.get("UCM_CONTROL_SOCKET") or DEFAULT_SOCKET
        self._deadline = deadline

    def get(self, *parts: str, **query: str) -> Any:
        """The decoded answer of ``GET /v1/<parts>``, in the shapes of ``ucm_provision.wire``."""
        return self._ask("GET", _target(parts, query), None)

    def post(self, *parts: str, body: object = None) -> Any:
        """The decoded answer of ``POST /v1/<parts>`` with a JSON body."""
        return self._ask("POST", _target(parts, {}), json.dumps(body) if body is not None else None)

    def events(self) -> Iterator[tuple[str, Any]]:
        """The names and data of what the daemon streams, from a snapshot on, until it ends."""
        with self._connected() as connection:
            connection.request("GET", "/v1/events")
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise _refusal(_decode(response.read()))
            name = ""
            for line in response:
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    yield name, json.loads(value)

    def _ask(self, method: str, target: str, body: str | None) -> Any:
        with self._connected() as connection:
            connection.request(method, target, body)
            response = connection.getresponse()
            answer = _decode(response.read())
            if response.status != http.client.OK:
                raise _refusal(answer)
            return answer

    @contextmanager
    def _connected(self) -> Iterator[http.client.HTTPConnection]:
        connection = _UnixConnection(self._path, self._deadline or _DEADLINE)
        try:
            yield connection
        except (OSError, http.client.HTTPException) as error:
            raise UcmError(Code.DAEMON_UNREACHABLE, f"{self._path}: {error}") from error
        finally:
            connection.close()


def _target(parts: Sequence[str], query: Mapping[str, str]) -> str:
    target = "/v1/" + "/".join(quote(part, safe="") for part in parts)
    return target + ("?" + "&".join(f"{name}={quote(value)}" for name, value in query.items()) if query else "")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, deadline: float) -> None:
        super().__init__("localhost", timeout=deadline)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _decode(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError as error:
        raise _impostor() from error
    if not isinstance(answer, dict):
        raise _impostor()
    return answer


def _refusal(answer: dict[str, Any]) -> DaemonError:
    error = answer.get("error")
    if not isinstance(error, dict):
        raise _impostor()
    try:
        exit_status = UcmError(Code(str(error.get("code")))).failure.exit_status
    except ValueError:  # a newer daemon knows failures that this command line does not
        exit_status = Exit.FAILED
    return DaemonError(str(error.get("message")), exit_status)


def _impostor() -> UcmError:
    return UcmError(Code.DAEMON_UNREACHABLE, "what answers there is not the daemon")
