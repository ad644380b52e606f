"""Hardware ids and slugs: what is accepted, and how names become part of a URL."""

import re
import secrets
import unicodedata
from collections.abc import Iterator

# 32 or 33 characters: the platform's samples have a one-letter prefix at times (V virtual, S standalone),
# and not all of them are hexadecimal.
_HARDWARE_ID = re.compile(r"[0-9A-Z]{32,33}", re.ASCII)

_SLUG_LENGTH = 63
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_NUMBERED_SLUGS = 20


def normalize_hardware_id(text: str) -> str:
    """The upper-case form of a hardware id.

    Raises:
        ValueError: not 32 or 33 letters and digits.
    """
    # ASCII first: str.upper() makes two letters of some others, and a letter of some that were none.
    normalized = text.upper() if text.isascii() else ""
    if not _HARDWARE_ID.fullmatch(normalized):
        raise ValueError("A hardware id is 32 or 33 letters and digits.")
    return normalized


def new_standalone_id() -> str:
    """A hardware id for a device that has no hardware of its own: `S` and 32 hexadecimal digits."""
    return f"S{secrets.token_hex(16).upper()}"


def is_slug(text: str) -> bool:
    """Whether a text can be a slug as it is."""
    return len(text) <= _SLUG_LENGTH and _SLUG.fullmatch(text) is not None


def slug_from(name: str) -> str:
    """The slug that a name suggests: lower-case ASCII letters, digits and single hyphens, 1 to 63 of them."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii").lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return slug[:_SLUG_LENGTH].strip("-") or "device"


def slug_candidates(name: str) -> Iterator[str]:
    """Slugs for a name, in order of preference, without end.

    Numbers come first because people read them; a site with hundreds of equal names gets random endings
    instead of one failed attempt for each.
    """
    base = slug_from(name)[: _SLUG_LENGTH - 9].strip("-")
    yield slug_from(name)
    for number in range(2, _NUMBERED_SLUGS):
        yield f"{base}-{number}"
    while True:
        yield f"{base}-{secrets.token_hex(4)}"
