"""What an operator decides about one server."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
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


@dataclass(frozen=True)
class Mosquitto:
    """A mosquitto on this machine that `ucm-site-api broker bootstrap` set up in the same state folder.

    `reload` is the command that makes it read its revocation list anew. Without one the process in its pid file
    gets SIGHUP, which needs to be allowed: the same user, or root.
    """

    reload: tuple[str, ...] | None = None


@dataclass(frozen=True)
class CertificateFiles:
    """The certificate of the HTTP API with those between it and its authority, and its key, each PEM."""

    certificate: Path
    key: Path


def utc_now() -> datetime:
    """The wall clock, aware and in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Settings:
    """One server's settings. Port 0 in an address means any free port.

    With mosquitto as `broker` the two MQTT addresses are the ones that it listens on.
    `public_host` is the name or address that modules connect to; without it the address of the TLS listener
    is given out. Without `time_sync` modules are told to ask this server. `role` is what the server is for its
    clients: a Gateway 3.x, which has virtual UCMs and LINK devices, or the cloud, which has Gateways.
    `tls` puts the HTTP API on TLS: with these files, or with a certificate by the site's own authority.
    `rate_limit` is in calls a minute for each token; 0 is none. With `group_reads` token and witness are for the
    group of this process, too: the daemon's. `now` is a seam for tests.
    """

    state: Path
    listen: Address = ("127.0.0.1", 8480)
    mqtt_listen: Address = ("127.0.0.1", 1883)
    mqtts_listen: Address = ("127.0.0.1", 8883)
    public_host: str | None = None
    broker: Literal["embedded"] | Mosquitto = "embedded"
    site_name: str = "Site"
    site_timezone: str = "UTC"
    time_sync: TimeSource | None = None
    role: Literal["gateway", "cloud"] = "gateway"
    tls: Literal["own"] | CertificateFiles | None = None
    rate_limit: int = 6000
    group_reads: bool = False
    key: KeyKind = "ec"
    rotation_grace: timedelta = timedelta(hours=24)
    certificate_validity: timedelta = timedelta(days=365)
    online_within: timedelta = timedelta(seconds=60)
    now: Callable[[], datetime] = utc_now

    def __post_init__(self) -> None:
        """Refuse what could never work, before anything is opened or written."""
        if not is_timezone(self.site_timezone):
            raise ConfigurationError(f"{self.site_timezone!r} is not a time zone; try Europe/Berlin.")
        if not self.site_name.strip():
            raise ConfigurationError("The site needs a name.")
        if self.rate_limit < 0:
            raise ConfigurationError("The rate limit cannot be negative.")
        if self.tls and self.time_sync is None:
            raise ConfigurationError("Name where modules get the time (--time-sync): this server speaks TLS only.")
        if self.rotation_grace < timedelta(0):
            raise ConfigurationError("The rotation grace cannot be negative.")
        if self.broker != "embedded" and 0 in {self.mqtt_listen[1], self.mqtts_listen[1]}:
            raise ConfigurationError("Name the ports that mosquitto listens on (--mqtt-listen, --mqtts-listen).")
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


def is_timezone(name: str) -> bool:
    """Whether there is a time zone of this name. It may read files."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return not _time_zones_are_known()
    return True


@cache
def _time_zones_are_known() -> bool:
    """A small box may carry no time zone data at all: then no name can be judged."""
    return bool(available_timezones())
