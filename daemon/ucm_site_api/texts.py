"""Texts that bodies bring along, judged beyond what their types can say.

Each function returns the form that is kept, and raises ApiError (400) with the field's path.
"""

import unicodedata

from ucm_site_api.errors import ApiError, invalid_field
from ucm_site_api.identifiers import is_slug, normalize_hardware_id
from ucm_site_api.messages import Location, LocationWish, Position
from ucm_site_api.settings import is_timezone

_MAX_DEGREES = {"latitude": 90.0, "longitude": 180.0}


def hardware_id(text: str) -> str:
    """A hardware id in upper case."""
    try:
        return normalize_hardware_id(text)
    except ValueError as cause:
        raise invalid_field("$.hardware_id", str(cause)) from cause


def name(text: str, path: str = "$.name") -> str:
    """A name without blanks around it."""
    kept = printable(text, path).strip()
    if not kept:
        raise invalid_field(path, "A name is not blank.")
    return kept


def printable(text: str, path: str) -> str:
    """A text that may be shown in terminals and pages, which control characters can take over."""
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise invalid_field(path, "Control characters have no place here.")
    return text


def slug(text: str | None) -> str | None:
    """A slug that was asked for; None if none was, which some clients say with an empty text."""
    if text and not is_slug(text):
        raise invalid_field("$.slug", "A slug is lower-case letters, digits and single hyphens between them.")
    return text or None


def timezone(text: str, path: str = "$.timezone") -> str:
    """The name of a time zone."""
    if not is_timezone(text):
        raise invalid_field(path, "Not a time zone; try Europe/Berlin.")
    return text


def location(wish: LocationWish | Position | None, path: str = "$.location") -> Location | None:
    """A location, its degrees as numbers."""
    if wish is None:
        return None
    label = wish.name if isinstance(wish, LocationWish) else None
    return Location(
        printable(label or "", f"{path}.name"),
        _degrees("latitude", wish.latitude, path),
        _degrees("longitude", wish.longitude, path),
    )


def _degrees(axis: str, given: float | str | None, path: str) -> float | None:
    if given is None:
        return None
    limit = _MAX_DEGREES[axis]
    try:
        degrees = float(given)
    except ValueError as cause:
        raise _no_degrees(axis, path) from cause
    if not -limit <= degrees <= limit:  # not a number is refused here, too
        raise _no_degrees(axis, path)
    return degrees


def _no_degrees(axis: str, path: str) -> ApiError:
    limit = _MAX_DEGREES[axis]
    return invalid_field(f"{path}.{axis}", f"A {axis} is a number from -{limit:g} to {limit:g}.")
