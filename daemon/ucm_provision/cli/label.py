"""The proof of possession from a module's label, as people have it at hand."""

from __future__ import annotations

import getpass
import sys
from typing import TextIO

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.label import parse_label
from ucm_provision.wire import ApproveRequest


def read_label(file: TextIO) -> ApproveRequest:
    """From a file, or typed without an echo on a terminal: plain, or Espressif's QR JSON with ``pop``.

    Raises:
        UcmError: request_invalid. The text itself is never repeated.
    """
    typed = file is sys.stdin and file.isatty()
    try:
        proof = parse_label(getpass.getpass("Proof of possession: ") if typed else file.read())
    except ValueError as error:
        raise UcmError(Code.REQUEST_INVALID, str(error)) from None
    return ApproveRequest(pop=proof.secret.reveal(), username=proof.username)
