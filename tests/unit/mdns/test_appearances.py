"""Whatever comes and goes, a listener who follows what it is told knows what is there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ucm_provision.discovery.appearances import Appearances

SETTLE = 5.0
NAMES = st.sampled_from("abc")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("seen"), NAMES, st.integers(0, 2)),
        st.tuples(st.just("lost"), NAMES, st.just(0)),
        st.tuples(st.just("doubt"), st.just(""), st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.integers(1, 7)),
        st.tuples(st.just("take"), st.just(""), st.just(0)),
    ),
    max_size=40,
)


def test_an_arrival_is_told_at_once_and_once() -> None:
    appearances: Appearances[int] = Appearances()
    assert appearances.seen("a", 1)
    assert not appearances.seen("a", 1)
    assert appearances.take(0.0) == [("a", 1, True)]
    assert appearances.take(0.0) == []


def test_a_departure_is_told_when_it_has_settled() -> None:
    appearances: Appearances[int] = Appearances()
    appearances.seen("a", 1)
    appearances.take(0.0)
    appearances.lost("a", SETTLE)
    assert appearances.due() == SETTLE
    assert appearances.take(SETTLE - 0.1) == []
    assert appearances.take(SETTLE) == [("a", 1, False)]
    assert appearances.due() is None


def test_who_is_back_in_time_never_left() -> None:
    appearances: Appearances[int] = Appearances()
    appearances.seen("a", 1)
    appearances.take(0.0)
    appearances.doubt_all(SETTLE)
    appearances.seen("a", 1)
    assert appearances.take(2 * SETTLE) == []


def test_who_came_and_went_unnoticed_is_not_told() -> None:
    appearances: Appearances[int] = Appearances()
    appearances.seen("a", 1)
    appearances.lost("a", SETTLE)
    assert appearances.take(SETTLE) == []


def test_departures_come_first() -> None:
    appearances: Appearances[int] = Appearances()
    appearances.seen("a", 1)
    appearances.take(0.0)
    appearances.seen("b", 1)
    appearances.lost("a", SETTLE)
    assert [present for *_, present in appearances.take(SETTLE)] == [False, True]


@given(STEPS)
def test_who_follows_what_is_told_knows_what_is_there(steps: list[tuple[str, str, int]]) -> None:
    appearances: Appearances[int] = Appearances()
    now, followed = 0.0, dict[str, int]()
    for what, name, number in [*steps, ("take", "", 0)]:
        match what:
            case "seen":
                appearances.seen(name, number)
            case "lost":
                appearances.lost(name, now + SETTLE)
            case "doubt":
                appearances.doubt_all(now + SETTLE)
            case "wait":
                now += number
            case _:
                for told, value, present in appearances.take(now):
                    assert present or told in followed
                    assert not present or followed.get(told) != value
                    followed.pop(told, None)
                    followed |= {told: value} if present else {}
                assert followed == {each: appearances.get(each) for each in "abc" if each in appearances}
