"""The proof of possession from a module's label, as people have it at hand."""

from __future__ import annotations

import getpass
import json
import sys
from typing import TextIO

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.wire import ApproveRequest


def read_label(file: TextIO) -> ApproveRequest:
    """From a file, or typed without an echo on a terminal: plain, or Espressif's QR JSON with ``pop``.

    Raises:
        UcmError: request_invalid. The text itself is never repeated.
    """
    typed = file is sys.stdin and file.isatty()
    text = (getpass.getpass("Proof of possession: ") if typed else file.read()).strip()
    if text.startswith("{"):
        return _from_qr(text)
    if not text or "\n" in text:
        raise UcmError(Code.REQUEST_INVALID, "expected the proof of possession on one line")
    return ApproveRequest(pop=text)


def _from_qr(text: str) -> ApproveRequest:
    try:
        code = json.loads(text)
    except ValueError:
        raise UcmError(Code.REQUEST_INVALID, "the QR code's text is no JSON") from None
    if not isinstance(code.get("pop"), str) or not code["pop"]:
        raise UcmError(Code.REQUEST_INVALID, 'the QR code has no "pop"')
    username = code.get("username")
    if isinstance(username, str) and username:
        return ApproveRequest(pop=code["pop"], username=username)
    return ApproveRequest(pop=code["pop"])
