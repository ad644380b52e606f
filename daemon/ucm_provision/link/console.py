"""What a module prints between frames: counted, and a bounded tail of it kept for diagnosis."""

from __future__ import annotations

import re

from ucm_provision.core import policy

# Debug builds of ESP-IDF print session keys as hex dumps: bytes apart, words apart, or one long run.
_HEX_DUMP = re.compile(
    r"(?:(?:0x)?[0-9a-f]{2}[ :,-]+){3}(?:0x)?[0-9a-f]{2}\b"
    r"|\b[0-9a-f]{8}[ ,]+[0-9a-f]{8}\b"
    r"|[0-9a-f]{16,}",
    re.IGNORECASE,
)
# ESP-IDF's examples print the proof of possession in a QR code's text, and Wi-Fi logs may name a passphrase.
_NAMES_A_SECRET = re.compile(r"pop\b|pass|psk|secret|token|key", re.IGNORECASE)
_LINE_ENDS = re.compile(r"[\r\n]+")


class Console:
    """The bytes between frames.

    Attributes:
        count: How many there were in all.
    """

    def __init__(self) -> None:
        self.count = 0
        self._tail = bytearray()

    def add(self, data: bytes) -> None:
        self.count += len(data)
        self._tail += data
        del self._tail[: -policy.CONSOLE_TAIL]

    def text(self, unfinished: bytes = b"") -> str:
        """The tail as printable lines, without hex dumps and lines that may name a secret.

        Args:
            unfinished: Bytes that came after the tail and are not decided yet.
        """
        whole = (bytes(self._tail) + unfinished)[-policy.CONSOLE_TAIL :]
        lines = _LINE_ENDS.split(whole.decode("ascii", "replace"))
        if self.count + len(unfinished) > policy.CONSOLE_TAIL:
            lines = lines[1:]  # cut in two by the bound: what is left of it may be the rest of a hex dump
        shown = (_printable(line) for line in lines if not _HEX_DUMP.search(line) and not _NAMES_A_SECRET.search(line))
        return "\n".join(line for line in shown if line)


def _printable(line: str) -> str:
    return "".join(c if c.isascii() and c.isprintable() else "." for c in line).strip()
