"""Times as the platform writes them: RFC 3339 in UTC with microseconds and `Z`."""

from datetime import UTC, datetime


def to_text(moment: datetime) -> str:
    """Fixed width, so that the order of texts is the order of times (the registry relies on it)."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def from_text(text: str) -> datetime:
    """The inverse of `to_text`. A page of devices has a hundred of them, and `strptime` takes its time."""
    return datetime.fromisoformat(text)
