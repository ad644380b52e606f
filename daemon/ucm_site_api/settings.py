"""What an operator decides about one server."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from ucm_site_api.errors import ConfigurationError

Address = tuple[str, int]
KeyKind = Literal["ec", "rsa"]


@dataclass(frozen=True)
class TimeSource:
    """Where modules get the time: `protocol` is `HTTP` (the Date header of `HEAD /`) or `NTP`."""

    protocol: Literal["HTTP", "NTP"]
    host: str
    port: int


def utc_now() -> datetime:
    """The wall clock, aware and in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Settings:
    """One server's settings. Port 0 in an address means any free port.

    `public_host` is the name or address that modules connect to; without it the address of the TLS listener
    is given out. Without `time_sync` modules are told to ask this server. `now` is a seam for tests.
    """

    state: Path
    listen: Address = ("127.0.0.1", 8480)
    mqtt_listen: Address = ("127.0.0.1", 1883)
    mqtts_listen: Address = ("127.0.0.1", 8883)
    public_host: str | None = None
    site_name: str = "Site"
    site_timezone: str = "UTC"
    time_sync: TimeSource | None = None
    key: KeyKind = "ec"
    rotation_grace: timedelta = timedelta(hours=24)
    certificate_validity: timedelta = timedelta(days=365)
    online_within: timedelta = timedelta(seconds=60)
    now: Callable[[], datetime] = utc_now

    def __post_init__(self) -> None:
        """Refuse what could never work, before anything is opened or written."""
        _require_timezone(self.site_timezone)
        if not self.site_name.strip():
            raise ConfigurationError("The site needs a name.")
        if self.rotation_grace < timedelta(0):
            raise ConfigurationError("The rotation grace cannot be negative.")
        if not self.reachable_host:
            raise ConfigurationError(
                "Name the host that modules connect to (--public-host): "
                f"{self.mqtts_listen[0] or 'every address'} is not one they can use."
            )

    @property
    def reachable_host(self) -> str:
        """The host that goes into a module's configuration; empty when there is none to give out."""
        return self.public_host or _concrete_host(self.mqtts_listen[0])


def _concrete_host(host: str) -> str:
    try:
        return "" if ip_address(host).is_unspecified else host
    except ValueError:
        return host


def _require_timezone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as cause:
        # A small box may carry no time zone data at all: then no name can be judged.
        if available_timezones():
            raise ConfigurationError(f"{name!r} is not a time zone; try Europe/Berlin.") from cause
