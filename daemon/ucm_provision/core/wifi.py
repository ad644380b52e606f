"""What a Wi-Fi network may be called and how it may be entered, wherever it is written down."""

from __future__ import annotations

import re
import unicodedata

from ucm_provision.core.secret import Secret

# IEEE 802.11: an SSID has 1 to 32 bytes.
_SSID_BYTES = range(1, 33)
# WPA2: a passphrase has 8 to 63 printable ASCII characters; 64 hexadecimal digits are the key itself.
_PASSPHRASE = re.compile(r"[ -~]{8,63}|[0-9A-Fa-f]{64}")
_BSSID = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")


def check_ssid(text: str) -> str:
    """Raises ValueError, which tells what was expected. Control characters would reach people's terminals."""
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise ValueError("expected no control characters")
    if len(text.encode()) not in _SSID_BYTES:
        raise ValueError(f"expected 1 to {_SSID_BYTES[-1]} bytes")
    return text


def check_passphrase(text: str) -> Secret[str]:
    """Raises ValueError, which never repeats the text."""
    if not _PASSPHRASE.fullmatch(text):
        raise ValueError("expected a passphrase of 8 to 63 printable ASCII characters, or 64 hexadecimal digits")
    return Secret(text)


def parse_bssid(text: str) -> bytes:
    """The 6 bytes of an access point's address, ``aa:bb:cc:dd:ee:ff``. Raises ValueError."""
    if not _BSSID.fullmatch(text):
        raise ValueError("expected an access point's address such as aa:bb:cc:dd:ee:ff")
    return bytes.fromhex(text.replace(":", ""))


def bssid_text(bssid: bytes) -> str:
    """What :func:`parse_bssid` reads."""
    return bssid.hex(":")
