"""Moments as the report prints them, in the time zone of the box."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import overload

# From seconds since the epoch to the local time, with its zone.
Local = Callable[[float], datetime]


def box_time(at: float) -> datetime:
    """In this machine's time zone, as it was at that moment."""
    return datetime.fromtimestamp(at).astimezone()


@overload
def iso(local: Local, at: float) -> str: ...
@overload
def iso(local: Local, at: None) -> None: ...
def iso(local: Local, at: float | None) -> str | None:
    """ISO 8601 with the offset, to the second."""
    return local(at).isoformat(timespec="seconds") if at is not None else None


def day_and_time(local: Local, at: float) -> str:
    """For a person, without the zone, which the report tells once."""
    return local(at).strftime("%Y-%m-%d %H:%M")


def zone(local: Local, at: float) -> str:
    """The zone's name where it has one, and its distance to UTC."""
    moment = local(at)
    offset = moment.strftime("%z") or "+0000"
    name, distance = moment.tzname() or "", f"UTC{offset[:3]}:{offset[3:5]}"
    return distance if not name or name.startswith(("UTC", "+", "-")) else f"{name}, {distance}"
