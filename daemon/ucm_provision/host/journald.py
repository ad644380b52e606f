"""The log as systemd's journal takes it: fields that can be searched for, `journalctl UCM_HWID=…`.

The protocol is that of https://systemd.io/JOURNAL_NATIVE_PROTOCOL: one datagram an entry.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, TextIO

_SOCKET: Final = "/run/systemd/journal/socket"
# The kernel takes datagrams of some 200 KiB; what is longer than this helps nobody.
_VALUE_LONGEST: Final = 32 * 1024
_PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
# Said by the entry itself, or by the journal.
_NOT_FIELDS: Final = frozenset({"event", "level", "exception", "timestamp", "notable"})
# So that they are found whatever their words: systemd.journal-fields(7), made with `journalctl --new-id128`. The key
# is an event's own text, or what it is marked with as notable.
MESSAGE_IDS: Final = {
    "daemon started": "7277643ac9c342458b1df4616cd5611f",
    "daemon stopped": "3dc8ebbecb484b77b74822f582b5cc7b",
    "module verified": "2a4c0b76d7094e8594bce9c5955c60a1",
    "module needs a person": "7fde7a2cb2d946f6bb924662c4126907",
    "all modules wait": "73370178138f48bf99831db9c1631e69",
    "no progress": "71a30ebca9ff4fac9dbdeec4a46c1fbe",
}


def goes_to_journal(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether systemd has connected the stream to its journal, as systemd.exec(5) tells at $JOURNAL_STREAM."""
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    with suppress(OSError, ValueError):
        status = os.fstat(stream.fileno())
        return (str(status.st_dev), str(status.st_ino)) == (device, inode)
    return False


class Journal:
    """Where entries are sent to. One that cannot be sent is dropped: a log must not stop what it is about."""

    def __init__(self, path: str = _SOCKET) -> None:
        self._path = path

    def send(self, fields: Mapping[str, str]) -> None:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to_journal:
            to_journal.sendto(b"".join(map(_encoded, fields, fields.values())), self._path)


class JournalLogger:
    """A structlog logger that takes the fields of an entry in place of a line."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def msg(self, **fields: str) -> None:
        self._journal.send(fields)

    debug = info = warning = error = critical = exception = msg


def as_fields(_logger: Any, _method: str, event: Mapping[str, Any]) -> dict[str, str]:
    """The last structlog processor: an event as the fields of an entry."""
    fields = {"MESSAGE": _message(event), "PRIORITY": str(_PRIORITIES.get(event.get("level", "info"), 6))}
    if message_id := MESSAGE_IDS.get(str(event.get("notable") or event.get("event"))):
        fields["MESSAGE_ID"] = message_id
    return fields | {_field(key): str(value) for key, value in _details(event)}


class JournalHandler(logging.Handler):
    """Sends what libraries have to say."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        said = {"event": record.getMessage(), "level": record.levelname.lower(), "logger": record.name}
        if record.exc_info:
            said["exception"] = logging.Formatter().formatException(record.exc_info)
        self._journal.send(as_fields(None, "", said))


def _message(event: Mapping[str, Any]) -> str:
    """What a person reads who did not ask for any field."""
    words = [str(event.get("event", "")), *(f"{key}={value}" for key, value in _details(event))]
    return "\n".join([" ".join(words), *filter(None, [event.get("exception")])])


def _details(event: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, value in event.items() if key not in _NOT_FIELDS and value is not None)


def _field(key: str) -> str:
    """A name as the journal wants it: 64 of A-Z, 0-9 and _, ours all under one prefix."""
    name = re.sub(r"[^A-Z0-9_]", "_", key.upper())
    return (name if name.startswith("UCM_") else f"UCM_{name}")[:64]


def _encoded(name: str, value: str) -> bytes:
    data = value.encode(errors="replace")[:_VALUE_LONGEST]
    if b"\n" not in data:
        return name.encode() + b"=" + data + b"\n"
    return name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
