"""What a protocomm server may answer to a POST, read strictly: HTTP/1.1 without any of its options.

protocomm's own server sends a status line, a content type, a content length, for a new session a cookie, and
the body. Whoever sends anything else is no module, and none of it is believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError

_PREFIX = b"HTTP/1.1 "
_END_OF_HEAD = b"\r\n\r\n"
_STATUS_LINE = re.compile(r"HTTP/1\.1 ([0-9]{3})(?: [^\r\n]*)?")
_FIELD = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([^\r\n]*?)[ \t]*")
_LENGTH = re.compile(r"[0-9]{1,5}")
# An unsigned 32-bit number, as protocomm prints it; attributes after it are no part of what is sent back.
_SESSION = re.compile(r"session=([0-9]{1,10})(?:[ \t]*;.*)?")
_OK = "200"
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer.

    Attributes:
        session: The number of the session that the module opened for this request; None in one that went on.
        last: Whether the module closes the connection now.
    """

    body: bytes
    session: str | None
    last: bool


class AnswerReader:
    """One answer out of the bytes of a connection, in whatever pieces they come."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._head: _Head | None = None

    @property
    def begun(self) -> bool:
        """Whether any byte has come."""
        return bool(self._received)

    def feed(self, data: bytes) -> Answer | None:
        """Takes the next bytes; returns the answer once it is whole.

        Raises:
            UcmError: ``link_garbage`` as soon as this cannot become an answer of protocomm.
        """
        self._received += data
        head = self._head = self._head or _find_head(self._received)
        if head is None or len(self._received) < head.end + head.length:
            return None
        if len(self._received) > head.end + head.length:
            raise _garbage("more bytes than it announced")
        return Answer(bytes(self._received[head.end :]), head.session, head.last)


@dataclass(frozen=True, slots=True)
class _Head:
    end: int
    length: int
    session: str | None
    last: bool


def _find_head(received: bytearray) -> _Head | None:
    if not received.startswith(_PREFIX[: len(received)]):
        raise _garbage("no HTTP")
    end = received.find(_END_OF_HEAD, 0, policy.HTTP_HEAD_LARGEST)
    if end >= 0:
        return _read_head(received[:end].decode("latin-1"), end + len(_END_OF_HEAD))
    if len(received) >= policy.HTTP_HEAD_LARGEST:
        raise _garbage("a header without end")
    return None


def _read_head(text: str, end: int) -> _Head:
    status_line, *lines = text.split("\r\n")
    status = _STATUS_LINE.fullmatch(status_line)
    if status is None or status[1] != _OK:
        raise _garbage(f"{status_line[:_SHOWN]!a}")
    fields = _fields(lines)
    if {"transfer-encoding", "content-encoding"} & fields.keys():
        raise _garbage("an encoded body")
    return _Head(
        end=end,
        length=_length(fields.get("content-length", [])),
        session=_session(fields.get("set-cookie", [])),
        last="close" in (value.lower() for value in fields.get("connection", [])),
    )


def _fields(lines: Iterable[str]) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise _garbage("a header that is none")
        fields.setdefault(field[1].lower(), []).append(field[2])
    return fields


def _length(values: list[str]) -> int:
    if len(values) != 1 or not _LENGTH.fullmatch(values[0]) or int(values[0]) > policy.HTTP_ANSWER_LARGEST:
        raise _garbage("a body without a length, or too long a one")
    return int(values[0])


def _session(values: list[str]) -> str | None:
    if not values:
        return None
    cookie = _SESSION.fullmatch(values[0])
    if cookie is None or len(values) > 1:
        raise _garbage("a cookie that names no session")
    return cookie[1]


def _garbage(what: str) -> UcmError:
    return UcmError(Code.LINK_GARBAGE, f"answered {what}")
