"""The journal hears of everything first, and no listener ever slows the daemon down."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.unit.engine.fake_clock import FakeClock, settle, until
from tests.unit.engine.plant import MemoryJournal, hardware_id, port
from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import Absorbed, Cancelled, Committed, Failed, Identified, Identity, Seen
from ucm_provision.core.machine import Milestone, evolve
from ucm_provision.core.model import Product
from ucm_provision.engine.feed import Feed, Listener, OverrunError
from ucm_provision.engine.record import Record
from ucm_provision.wire import ModuleView

IDENTITY = Identity(hardware_id(1), Product.UCM, "ENP-RL6", "2.4.1")


class Bench:
    """A record on a journal that the test can break, and a feed of a depth that it can fill."""

    def __init__(self, depth: int = 4) -> None:
        self.clock = FakeClock()
        self.journal = MemoryJournal([])
        self.feed = Feed(depth)
        self.record = Record(self.journal, self.feed, self.clock)


async def read(listener: Listener, count: int) -> list[ModuleView]:
    views: list[ModuleView] = []
    async with asyncio.timeout(1.0):
        async for view in listener:
            views.append(view)
            if len(views) == count:
                break
    return views


@contextmanager
def nothing_published(feed: Feed) -> Iterator[None]:
    with feed.listen() as listener:
        yield
        assert listener._queue.empty()


async def test_a_listener_hears_every_change_in_order() -> None:
    bench = Bench()
    with bench.feed.listen() as listener:
        session = await bench.record.begin(port(0))
        await bench.record.add(session.id, Identified(IDENTITY))
        await bench.record.add(session.id, Failed(Code.API_REJECTED))
        views = await read(listener, 3)
    assert [(view["milestone"], view["hold"] is not None) for view in views] == [
        ("SEEN", False),
        ("IDENTIFIED", False),
        ("IDENTIFIED", True),
    ]


async def test_a_slow_reader_gets_what_fits_and_is_then_told_that_it_missed_something() -> None:
    bench = Bench(depth=3)
    with bench.feed.listen() as slow, bench.feed.listen() as quick:
        sessions = []
        for number in range(5):
            sessions.append((await bench.record.begin(port(number))).id)
            await read(quick, 1)
        assert [view["session"] for view in await read(slow, 3)] == sessions[:3]
        with pytest.raises(OverrunError):
            await read(slow, 1)


async def test_after_a_gap_nothing_more_comes_even_if_there_is_room_again() -> None:
    bench = Bench(depth=1)
    with bench.feed.listen() as slow:
        for number in range(2):
            await bench.record.begin(port(number))
        await read(slow, 1)
        await bench.record.begin(port(9))
        with pytest.raises(OverrunError):
            await read(slow, 1)


async def test_a_waiting_listener_wakes_at_the_next_change() -> None:
    bench = Bench()
    with bench.feed.listen() as listener:
        reading = asyncio.create_task(read(listener, 1))
        await settle()
        assert not reading.done()
        session = await bench.record.begin(port(0))
        assert [view["session"] for view in await reading] == [session.id]


async def test_a_snapshot_inside_listen_misses_nothing() -> None:
    bench = Bench(depth=100)

    async def change() -> None:
        for number in range(20):
            await bench.record.begin(port(number))

    changing = asyncio.create_task(change())
    await until(lambda: len(bench.record.views()) == 7)
    with bench.feed.listen() as listener:
        known = {view["session"] for view in bench.record.views()}
        known |= {view["session"] for view in await read(listener, 20 - len(known))}
    await changing
    assert known == {session.id for session in bench.record.sessions()}


async def test_who_left_is_not_kept() -> None:
    bench = Bench(depth=1)
    with bench.feed.listen() as listener:
        pass
    await bench.record.begin(port(0))
    assert listener._queue.empty()
    assert bench.feed._listeners == set()


# ---- journal first -------------------------------------------------------------------------------


async def test_what_the_journal_refuses_never_happened() -> None:
    bench = Bench()
    session = await bench.record.begin(port(0))
    bench.journal.broken = True
    with nothing_published(bench.feed):
        with pytest.raises(UcmError) as refused:
            await bench.record.add(session.id, Identified(IDENTITY))
        with pytest.raises(UcmError):
            await bench.record.begin(port(1))
    assert refused.value.code is Code.JOURNAL_UNUSABLE
    assert bench.record.sessions() == [session]


async def test_nobody_hears_of_a_change_before_the_journal_has_it() -> None:
    bench = Bench()
    with bench.feed.listen() as listener:
        adding = asyncio.create_task(bench.record.begin(port(0)))
        await asyncio.sleep(0)  # the journal has been asked, and has not answered yet
        assert (bench.record.sessions(), listener._queue.empty()) == ([], True)
        await adding
        assert not listener._queue.empty()


async def test_an_impossible_event_reaches_neither_journal_nor_memory() -> None:
    bench = Bench()
    with nothing_published(bench.feed), pytest.raises(ValueError, match="cannot begin with Committed"):
        await bench.record.add("s", Committed(1))
    assert (bench.journal.events, bench.record.sessions()) == ([], [])


async def test_what_is_being_done_is_shown_once_and_never_journalled() -> None:
    bench = Bench(depth=10)
    session = await bench.record.begin(port(0))
    events = list(bench.journal.events)
    with bench.feed.listen() as listener:
        bench.record.busy(session.id, "push", "10 %")
        bench.record.busy(session.id, "push", "10 %")
        bench.record.busy(session.id, "push", "20 %")
        bench.record.idle(session.id)
        bench.record.idle(session.id)
        activities = [view["activity"] for view in await read(listener, 3)]
        assert listener._queue.empty()
    assert activities == [{"step": "push", "detail": "10 %"}, {"step": "push", "detail": "20 %"}, None]
    assert bench.journal.events == events


async def test_loading_takes_up_the_order_and_clamps_absurd_waits() -> None:
    bench = Bench()
    seen = [evolve(None, Seen(port(number)), session_id=f"s{number}", at=1.0) for number in (2, 0, 1)]
    absurd = evolve(seen[0], Failed(Code.API_UNREACHABLE), session_id="s2", at=4e9)
    bench.journal.stored = [absurd, *seen[1:]]
    await bench.record.load()
    loaded = bench.record.sessions()
    assert [session.id for session in loaded] == ["s2", "s0", "s1"]
    assert loaded[0].hold is not None
    assert loaded[0].hold.until == bench.clock.now() + policy.BACKOFF_LAST


async def test_sessions_are_in_the_order_of_their_latest_change() -> None:
    bench = Bench()
    first, second = await bench.record.begin(port(0)), await bench.record.begin(port(1))
    await bench.record.add(first.id, Failed(Code.LINK_SILENT))
    assert [session.id for session in bench.record.sessions()] == [second.id, first.id]


async def test_the_latest_session_stands_for_its_module() -> None:
    bench = Bench()
    first = await bench.record.begin(port(0))
    await bench.record.add(first.id, Identified(IDENTITY))
    await bench.record.add(first.id, Cancelled("an operator"))
    second = await bench.record.begin(port(1))
    await bench.record.add(second.id, Identified(IDENTITY))
    unknown = await bench.record.begin(port(2))
    gone = await bench.record.begin(port(3))
    await bench.record.add(gone.id, Cancelled("unplugged before it was identified"))
    absorbed = await bench.record.begin(port(4))
    await bench.record.add(absorbed.id, Absorbed(second.id))
    assert [view["session"] for view in bench.record.views()] == [second.id, unknown.id]
    assert bench.record.claiming(IDENTITY.hardware_id, other_than=second.id) == []
    assert bench.record.claiming(IDENTITY.hardware_id, other_than=unknown.id) == [bench.record.session(second.id)]
    assert bench.record.latest_at(port(4).key) == bench.record.session(second.id)
    assert bench.record.session(gone.id).milestone is Milestone.CANCELLED
