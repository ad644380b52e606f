"""The maintenance window, the end of certificates, and the clock that both go by."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucm_provision.core import policy
from ucm_provision.core.maintenance import (
    ClockGuard,
    Window,
    is_open,
    local_time,
    next_opening,
    parse_duration,
    parse_window,
    rotation_due,
    rotation_due_at,
)

DAY = 24 * 60
windows = (
    st.tuples(st.integers(0, DAY - 1), st.integers(0, DAY))
    .filter(lambda it: it[0] != it[1])
    .map(lambda it: Window(*it))
)
moments = st.datetimes(datetime.fromisoformat("2000-01-01"), datetime.fromisoformat("2100-01-01"))


# ---- the window ----------------------------------------------------------------------------------


@given(windows)
def test_a_window_is_read_as_it_is_shown(window: Window) -> None:
    assert parse_window(str(window)) == window


NO_WINDOWS = ["", "2:00-4:00", "02:00", "02:00 - 04:00", "24:00-04:00", "02:60-04:00", "02:00-25:00", "02:00-24:01"]
NO_WINDOWS += ["02:00-04:00\n", "٠٢:00-04:00"]


@pytest.mark.parametrize("text", NO_WINDOWS)
def test_what_is_no_window(text: str) -> None:
    with pytest.raises(ValueError, match=r'^expected a window of local time like "02:00-04:00"$'):
        parse_window(text)


def test_a_window_that_never_opens() -> None:
    with pytest.raises(ValueError, match="expected a window that closes at another time than it opens"):
        parse_window("02:00-02:00")


@given(st.from_regex(r"[0-2]\d:[0-6]\d-[0-2]\d:[0-6]\d", fullmatch=True))
def test_what_looks_like_a_window_lies_within_a_day_or_is_refused(text: str) -> None:
    with suppress(ValueError):
        window = parse_window(text)
        assert 0 <= window.opens < DAY
        assert 0 <= window.closes <= DAY


@pytest.mark.parametrize(
    ("window", "minute", "expected"),
    [
        ("02:00-04:00", "01:59:59", False),
        ("02:00-04:00", "02:00:00", True),
        ("02:00-04:00", "03:59:59", True),
        ("02:00-04:00", "04:00:00", False),
        ("23:30-00:30", "23:30:00", True),
        ("23:30-00:30", "00:29:59", True),
        ("23:30-00:30", "00:30:00", False),
        ("23:30-00:00", "23:59:59", True),
        ("23:30-00:00", "00:00:00", False),
        ("00:00-24:00", "00:00:00", True),
        ("00:00-24:00", "23:59:59", True),
    ],
)
def test_a_window_is_open_from_its_opening_until_before_its_end(window: str, minute: str, expected: bool) -> None:
    assert is_open(parse_window(window), datetime.fromisoformat(f"2026-03-01T{minute}")) is expected


@given(windows, moments)
def test_a_window_is_open_as_long_a_day_as_it_says(window: Window, day: datetime) -> None:
    midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
    minutes = sum(is_open(window, midnight + timedelta(minutes=minute)) for minute in range(DAY))
    assert minutes == (window.closes - window.opens) % DAY or minutes == window.closes - window.opens == DAY


@given(windows, moments)
def test_the_next_opening_is_the_first_one_to_come(window: Window, now: datetime) -> None:
    opening = next_opening(window, now)
    assert now < opening <= now + timedelta(days=1)
    assert (opening.hour * 60 + opening.minute, opening.second, opening.microsecond) == (window.opens, 0, 0)
    assert is_open(window, opening)


@given(windows, moments)
def test_a_closed_window_stays_closed_until_its_next_opening(window: Window, now: datetime) -> None:
    if not is_open(window, now):
        opening = next_opening(window, now)
        for part in range(1, 8):
            assert not is_open(window, now + (opening - now) * part / 8)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[ZoneInfo]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield ZoneInfo("Europe/Berlin")
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-03-28T12:00", "2026-03-29T03:00"),  # 02:00 does not exist: it is 03:00 an hour after 01:00
        ("2026-10-24T12:00", "2026-10-25T02:00"),  # the first of two
        ("2026-07-01T12:00", "2026-07-02T02:00"),
    ],
)
def test_the_next_opening_when_summer_time_begins_or_ends(berlin: ZoneInfo, now: str, opens: str) -> None:
    window = parse_window("02:00-04:00")
    start = datetime.fromisoformat(now).replace(tzinfo=berlin).timestamp()
    opening = next_opening(window, local_time(start)).timestamp()
    assert opening == datetime.fromisoformat(opens).replace(tzinfo=berlin).timestamp()
    assert is_open(window, local_time(opening))


# ---- durations and certificates ------------------------------------------------------------------


@given(st.integers(1, 99999))
def test_durations(number: int) -> None:
    assert parse_duration(f"{number}d") == number * 86400
    assert parse_duration(f"{number}h") == number * 3600
    assert parse_duration(f"{number}m") == number * 60


@pytest.mark.parametrize(
    "text", ["", "30", "d", "0d", "-1d", "1.5h", "30 d", "30D", "30s", "1d12h", "100000d", "1d\n", "٣d"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r'like "30d", "12h" or "45m"$'):
        parse_duration(text)


certificates = st.tuples(st.integers(0, 2**32), st.integers(1, 2**30)).map(lambda it: (float(it[0]), float(sum(it))))
leads = st.integers(60, 2**30).map(float)


@given(certificates, leads, st.integers(1, 1000))
def test_a_rotation_is_due_from_the_lead_before_the_end_on(
    certificate: tuple[float, float], lead: float, seconds: int
) -> None:
    _, ends = certificate
    assert rotation_due(ends, ends - lead, lead)
    assert rotation_due(ends, ends + seconds, lead)
    assert not rotation_due(ends, ends - lead - seconds, lead)


@given(certificates, leads)
def test_a_certificate_that_lives_shortly_is_not_due_at_once(certificate: tuple[float, float], lead: float) -> None:
    begins, ends = certificate
    due = rotation_due_at(ends, lead, begins)
    assert begins < due < ends
    assert due - begins >= (ends - begins) * 0.66
    assert not rotation_due(ends, begins, lead, begins)


def test_a_certificate_that_lives_long_is_due_when_the_lead_says() -> None:
    assert rotation_due_at(365 * 86400.0, 30 * 86400.0, 0.0) == 335 * 86400.0


def test_a_certificate_that_ends_before_it_begins_is_due_at_its_end() -> None:
    assert rotation_due_at(100.0, 50.0, 200.0) == 100.0


# ---- the clock -----------------------------------------------------------------------------------

JUMP, REMEMBER = 30.0, 900.0


def fed(*pairs: tuple[float, float]) -> ClockGuard:
    guard = ClockGuard(JUMP, REMEMBER)
    for wall, monotonic in pairs:
        guard.feed(wall, monotonic)
    return guard


steps = st.lists(st.floats(0.0, 300.0), min_size=1, max_size=60)


def test_who_was_fed_nothing_knows_of_no_jump() -> None:
    assert not fed().jumped


@given(st.floats(0, 4e9), steps, st.floats(-2e-4, 2e-4))
def test_a_clock_that_goes_as_clocks_go_has_not_jumped(start: float, pauses: list[float], drift: float) -> None:
    guard, monotonic = fed(), 0.0
    for pause in pauses:
        monotonic += pause
        guard.feed(start + monotonic * (1 + drift), monotonic)
        assert not guard.jumped


@given(steps, steps, st.floats(JUMP * 1.1, 2e9), st.sampled_from([1, -1]))
def test_a_jump_is_remembered_as_long_as_it_ought_to_be(
    before: list[float], after: list[float], jump: float, direction: int
) -> None:
    guard, monotonic = fed(), 0.0
    for pause in before:
        monotonic += pause
        guard.feed(1e9 + monotonic, monotonic)
    jumped_at = monotonic
    for pause in [0.0, *after]:
        monotonic += pause
        guard.feed(1e9 + monotonic + direction * jump, monotonic)
        assert guard.jumped is (monotonic - jumped_at < REMEMBER)


def test_a_jump_between_two_looks_that_are_far_apart_is_seen() -> None:
    assert fed((1e9, 0.0), (1e9 + 1e5 + 60, 1e5)).jumped


def test_a_jump_and_back_are_two() -> None:
    assert fed((1e9, 0.0), (1e9 + 3600, 1.0), (1e9 + 2, 2.0)).jumped


def test_many_small_corrections_are_a_jump() -> None:
    assert fed(*((1e9 + minute * 65, minute * 60.0) for minute in range(8))).jumped
    assert not fed(*((1e9 + minute * 61, minute * 60.0) for minute in range(100))).jumped


def test_a_clock_that_never_rests_is_not_remembered_for_ever() -> None:
    guard = fed(*((1e9 + turn % 2 * 100, turn / 1000) for turn in range(10 * policy.CLOCK_OFFSETS_KEPT)))
    assert guard.jumped
    assert len(guard._offsets) == policy.CLOCK_OFFSETS_KEPT


class Clock:
    """A clock that shows what it is told to."""

    wall, ticks, disciplined = 1e9, 0.0, True

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.ticks

    def synchronized(self) -> bool:
        return self.disciplined

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


def test_a_clock_is_believed_while_it_is_synchronised_and_stays_as_it_is() -> None:
    clock, guard = Clock(), ClockGuard(JUMP, REMEMBER)
    assert guard.believes(clock)
    clock.disciplined = False
    assert not guard.believes(clock)
    clock.disciplined, clock.wall = True, 2e9
    assert not guard.believes(clock)
    clock.ticks, clock.wall = REMEMBER, 2e9 + REMEMBER
    assert guard.believes(clock)
