"""The command line's end of the control socket. Standard library only: `ucmctl` must start at once."""

from __future__ import annotations

import http.client
import json
import os
import socket
from typing import Any
from urllib.parse import quote

from ucm_provision.core.errors import Code, Exit, UcmError

DEFAULT_SOCKET = "/run/ucm-provision/control.sock"
_DEADLINE = 10.0


class DaemonError(Exception):
    """The daemon's own refusal: its sentence, and the exit status that goes with it."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class ControlClient:
    """Asks one daemon. Every call raises UcmError(daemon_unreachable) or DaemonError."""

    def __init__(self, path: str | None) -> None:
        self._path = path or os.environ.get("UCM_CONTROL_SOCKET") or DEFAULT_SOCKET

    def get(self, *parts: str, **query: str) -> Any:
        """The decoded answer of ``GET /v1/<parts>``, in the shapes of ``ucm_provision.wire``."""
        target = "/v1/" + "/".join(quote(part, safe="") for part in parts)
        if query:
            target += "?" + "&".join(f"{name}={quote(value)}" for name, value in query.items())
        status, body = self._exchange(target)
        answer = _decode(body)
        if status != http.client.OK:
            raise _refusal(answer)
        return answer

    def _exchange(self, target: str) -> tuple[int, bytes]:
        connection = _UnixConnection(self._path)
        try:
            connection.request("GET", target)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise UcmError(Code.DAEMON_UNREACHABLE, f"{self._path}: {error}") from error
        finally:
            connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_DEADLINE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_DEADLINE)
        self.sock.connect(self._path)


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise UcmError(Code.DAEMON_UNREACHABLE, "what answers there is not the daemon") from error


def _refusal(answer: Any) -> DaemonError:
    error = answer.get("error", {})
    try:
        exit_status = UcmError(Code(error.get("code"))).failure.exit_status
    except ValueError:  # a newer daemon knows failures that this command line does not
        exit_status = Exit.FAILED
    return DaemonError(str(error.get("message")), exit_status)
