"""Reading the texts of command line options.

Each function raises ConfigurationError with a sentence that shows the form it expects.
"""

import re
from datetime import timedelta
from urllib.parse import urlsplit

from ucm_site_api.errors import ConfigurationError
from ucm_site_api.settings import Address, TimeSource

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_TIME_SOURCE_PORTS = {"http": 80, "ntp": 123}


def parse_address(text: str) -> Address:
    """Read `host:port` or `[ipv6]:port`."""
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise ConfigurationError(f"An address is host:port, not {text!r}.")
    return bare, int(port)


def parse_duration(text: str) -> timedelta:
    """Read `90s`, `30m`, `24h` or `365d`."""
    match = re.fullmatch("([0-9]{1,6})([smhd])", text)
    if match is None:
        raise ConfigurationError(f"A duration is a number with s, m, h or d, not {text!r}.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def parse_time_source(url: str) -> TimeSource:
    """Read `http://host[:port]` or `ntp://host[:port]`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _TIME_SOURCE_PORTS[parts.scheme]
    except (KeyError, ValueError) as cause:
        raise ConfigurationError(f"A time source is http://host:port or ntp://host:port, not {url!r}.") from cause
    if not host or parts.path not in {"", "/"}:
        raise ConfigurationError(f"A time source is a host and a port, not {url!r}.")
    return TimeSource("HTTP" if parts.scheme == "http" else "NTP", host, port)
