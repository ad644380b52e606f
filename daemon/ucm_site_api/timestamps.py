"""Times as the platform writes them: RFC 3339 in UTC with microseconds and `Z`."""

from datetime import UTC, datetime

_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


def to_text(moment: datetime) -> str:
    """Fixed width, so that the order of texts is the order of times (the registry relies on it)."""
    return moment.astimezone(UTC).strftime(_FORMAT)


def from_text(text: str) -> datetime:
    """The inverse of `to_text`."""
    return datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)
