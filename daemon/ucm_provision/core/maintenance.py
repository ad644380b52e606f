"""When what can wait is done: the maintenance window, the end of certificates, and a clock that can be believed.

Moments are seconds since the Unix epoch but for local ones, which are what the clock on the wall shows.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from ucm_provision.core import policy
from ucm_provision.core.ports import Clock

_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)", re.ASCII)
_DURATION = re.compile(r"([1-9]\d{0,4})([dhm])", re.ASCII)
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0}
_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Window:
    """A part of every day, in minutes since local midnight: ``opens`` belongs to it, ``closes`` does not.

    One that closes before it opens crosses midnight.
    """

    opens: int
    closes: int

    def __str__(self) -> str:
        return "-".join(f"{minutes // 60:02}:{minutes % 60:02}" for minutes in (self.opens, self.closes))


def parse_window(text: str) -> Window:
    """``02:00-04:00``; ``00:00-24:00`` is always open.

    Raises:
        ValueError: says what was expected.
    """
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise ValueError('expected a window of local time like "02:00-04:00"')
    numbers = [int(number or 0) for number in found.groups()]
    opens = numbers[0] * 60 + numbers[1]
    closes = _DAY if found[3] is None else numbers[2] * 60 + numbers[3]
    if opens == closes:
        raise ValueError('expected a window that closes at another time than it opens ("00:00-24:00" is always open)')
    return Window(opens, closes)


def local_time(now: float) -> datetime:
    """What the clock on the wall shows at a moment, in this machine's time zone."""
    return datetime.fromtimestamp(now)  # noqa: DTZ006 -- naive on purpose: its timestamp() knows of summer time


def is_open(window: Window, now_local: datetime) -> bool:
    minute = now_local.hour * 60 + now_local.minute
    if window.opens < window.closes:
        return window.opens <= minute < window.closes
    return minute >= window.opens or minute < window.closes


def next_opening(window: Window, now_local: datetime) -> datetime:
    """The next time after ``now_local`` at which the window opens, also while it is open.

    Give it what :func:`local_time` returns, and ask the result for its ``timestamp()``: that is right on the
    days on which summer time begins or ends, too.
    """
    opens = time(window.opens // 60, window.opens % 60, tzinfo=now_local.tzinfo)
    opening = datetime.combine(now_local.date(), opens)
    return opening if opening > now_local else opening + timedelta(days=1)


def parse_duration(text: str) -> float:
    """``30d``, ``12h`` or ``45m``, in seconds.

    Raises:
        ValueError: says what was expected.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError('expected a number of days, hours or minutes, 1 to 99999, like "30d", "12h" or "45m"')
    return int(found[1]) * _SECONDS[found[2]]


def rotation_due_at(not_after: float, rotate_before_s: float, not_before: float | None = None) -> float:
    """From when on a certificate that is valid until ``not_after`` ought to be renewed.

    With ``not_before`` that is never earlier than after two thirds of its life: a certificate that lives shorter
    than ``rotate_before_s`` would otherwise be due the moment that it is issued, again and again.
    """
    if not_before is not None:
        rotate_before_s = min(rotate_before_s, max(not_after - not_before, 0.0) / 3)
    return not_after - rotate_before_s


def rotation_due(
    certificate_not_after: float, now: float, rotate_before_s: float, not_before: float | None = None
) -> bool:
    """Whether a certificate ends within ``rotate_before_s``, or has ended; see :func:`rotation_due_at`."""
    return now >= rotation_due_at(certificate_not_after, rotate_before_s, not_before)


class ClockGuard:
    """Says no while the wall clock is not to be believed: unsynchronised, or moved a short while ago.

    What it compares is how the wall clock stands to the monotonic one. Many small corrections count as well as
    a large one, and so does a sleep of the machine, which only the wall clock goes on through.

    Args:
        jump_s: By how many seconds the wall clock may move, in all, within ``remember_s`` seconds.
    """

    def __init__(self, jump_s: float = policy.CLOCK_JUMP, remember_s: float = policy.CLOCK_JUMP_REMEMBERED) -> None:
        self._jump = jump_s
        self._remember = remember_s
        # (since when, wall clock minus monotonic one), the oldest of them as it was when the time that is
        # remembered began. What is dropped of a clock that never rests is older than many other jumps.
        self._offsets: deque[tuple[float, float]] = deque(maxlen=policy.CLOCK_OFFSETS_KEPT)

    def believes(self, clock: Clock) -> bool:
        """Looks at the clock: now and then, at least as often as something depends on it."""
        self.feed(clock.now(), clock.monotonic())
        return clock.synchronized() and not self.jumped

    def feed(self, wall: float, monotonic: float) -> None:
        """What the two clocks show at the same moment, in seconds."""
        offset = wall - monotonic
        if not self._offsets or abs(offset - self._offsets[-1][1]) > self._jump / 16:  # less is noise
            self._offsets.append((monotonic, offset))
        while len(self._offsets) > 1 and self._offsets[1][0] <= monotonic - self._remember:
            self._offsets.popleft()

    @property
    def jumped(self) -> bool:
        """Whether the wall clock has moved too far in the time before the last pair, give or take a sixteenth."""
        offsets = [offset for _, offset in self._offsets]
        return bool(offsets) and max(offsets) - min(offsets) > self._jump
