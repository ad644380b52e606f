"""Certificates and waiting times need a clock that is right."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from ucm_provision.doctor.box import Box
from ucm_provision.doctor.finding import Finding, ok, problem, warn
from ucm_provision.doctor.journal import latest_of
from ucm_provision.host.clock import SystemClock

_CHECK = "clock"
# This was written later than the one, and certificates of X.509's short form end with the other.
_EARLIEST, _LATEST = datetime(2026, 1, 1, tzinfo=UTC).timestamp(), datetime(2050, 1, 1, tzinfo=UTC).timestamp()
# Two clocks of one machine that is being synchronised may differ by that.
_TOLERANCE = 60.0
_CERTIFICATES = "With a wrong clock good certificates count as expired or not yet valid."
_BY_HAND = "Without a network: sudo timedatectl set-ntp false && sudo timedatectl set-time 'YYYY-MM-DD hh:mm:ss'"
_SERVICES = ("/lib/systemd/systemd-timesyncd", "/usr/sbin/chronyd", "/usr/sbin/ntpd")


@dataclass(frozen=True, slots=True)
class Time:
    """
    Attributes:
        now: The clock, in seconds since the epoch.
        latest: When the daemon wrote last, by the clock of then; None: that is not known.
        has_service: Something is installed that could set the clock.
        restart: The command that restarts the daemon; empty where it is not known.
    """

    now: float
    is_synchronized: bool
    latest: float | None
    has_service: bool
    is_container: bool
    restart: str = ""


def check(box: Box) -> Iterator[Finding]:
    has_service = any(box.file(each).exists() for each in _SERVICES)
    synchronized = SystemClock().synchronized()
    yield judge(Time(time.time(), synchronized, latest_of(box), has_service, box.is_container, box.then_restart()))


def judge(clock: Time) -> Finding:
    if not _EARLIEST < clock.now < _LATEST:
        return problem(
            _CHECK, f"The clock says {_date(clock.now)}, which cannot be.", _CERTIFICATES, _BY_HAND, mend=_mend(clock)
        )
    if clock.latest is not None and clock.latest > clock.now + _TOLERANCE:
        return _set_back(clock, clock.latest)
    if not clock.is_synchronized:
        return warn(
            _CHECK,
            f"The clock says {_date(clock.now)}, but nothing keeps it right.",
            _CERTIFICATES,
            *(["In a container it is the clock of the machine around it: look there."] if clock.is_container else []),
            mend=_mend(clock),
        )
    return ok(_CHECK, f"The clock is synchronised and says {_date(clock.now)}.")


def _set_back(clock: Time, latest: float) -> Finding:
    summary = f"The clock says {_date(clock.now)}, but the daemon has written at {_date(latest)}"
    if clock.is_synchronized:
        pauses = "Pauses that were running last that much longer; a restart of the daemon shortens them."
        return warn(_CHECK, f"{summary}: it is synchronised now, and was ahead then.", pauses, mend=clock.restart)
    return problem(_CHECK, f"{summary}: it was set back.", _CERTIFICATES, _BY_HAND, mend=_mend(clock))


def _mend(clock: Time) -> str:
    if clock.is_container:
        return ""
    return "sudo timedatectl set-ntp true" if clock.has_service else "sudo apt install systemd-timesyncd"


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
