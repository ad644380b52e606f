"""Whatever the daemon knows comes back from the journal as it was."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.store.strategies import EVENTS_BY_KIND, LATER_EVENTS, ORDERS, SESSIONS
from ucm_provision.core.errors import Code
from ucm_provision.core.events import EVENT_TYPES, Event, Failed, SetBack
from ucm_provision.core.history import PastFailure
from ucm_provision.core.machine import Session, evolve
from ucm_provision.core.model import Carrier, Endpoint
from ucm_provision.core.orders import Order, OrderState
from ucm_provision.store.journal import Entry, Journal

ENDPOINT = Endpoint(Carrier.SERIAL, "/dev/ttyUSB0", "key-0")


def test_the_strategies_know_every_event_and_every_field() -> None:
    assert set(EVENTS_BY_KIND) == set(EVENT_TYPES)
    built = SESSIONS.wrapped_strategy.kwargs  # type: ignore[attr-defined]  # what st.builds was given
    assert set(built) == {field.name for field in fields(Session)}
    built = ORDERS.wrapped_strategy.kwargs  # type: ignore[attr-defined]
    assert set(built) == {field.name for field in fields(Order)}


@pytest.mark.parametrize("kind", EVENTS_BY_KIND)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
async def test_an_event_and_its_session_come_back_as_they_were(kind: str, data: st.DataObject) -> None:
    event, session = data.draw(EVENTS_BY_KIND[kind]), data.draw(SESSIONS)
    with TemporaryDirectory() as folder:
        path = Path(folder, "journal.sqlite3")
        journal = await Journal.open(path)
        seq = await journal.append(session, event, 12.5)
        await journal.close()
        journal = await Journal.open(path)
        assert await journal.history(session.id) == [Entry(seq, 12.5, event)]
        assert await journal.sessions() == [session]
        await journal.close()


async def replay(journal: Journal, session_id: str) -> Session:
    def step(session: Session | None, entry: Entry) -> Session:
        return evolve(session, entry.event, session_id=session_id, at=entry.at)

    session = reduce(step, await journal.history(session_id), None)
    assert session is not None
    return session


HISTORIES = st.lists(st.tuples(st.sampled_from("abc"), LATER_EVENTS), max_size=12)


@settings(max_examples=25, deadline=None)
@given(first=EVENTS_BY_KIND["Seen"], history=HISTORIES)
async def test_reopened_it_holds_what_its_events_lead_to(first: Event, history: list[tuple[str, Event]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "journal.sqlite3")
        journal = await Journal.open(path)
        sessions: dict[str, Session] = {}
        for at, (name, event) in enumerate([*((name, first) for name in "abc"), *history]):
            session = evolve(sessions.pop(name, None), event, session_id=name, at=float(at))
            sessions[name] = session
            await journal.append(session, event, float(at))
        await journal.close()
        journal = await Journal.open(path)
        assert await journal.sessions() == list(sessions.values())  # oldest change first
        assert [await replay(journal, name) for name in sessions] == list(sessions.values())
        await journal.close()


@settings(max_examples=25, deadline=None)
@given(orders=st.lists(ORDERS, max_size=4, unique_by=lambda order: order.id))
async def test_orders_come_back_as_they_were_and_in_the_order_of_their_placing(orders: list[Order]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "journal.sqlite3")
        journal = await Journal.open(path)
        for order in orders:
            await journal.keep_order(replace(order, state=OrderState.OPEN, asked=0))
            await journal.keep_order(order)
        await journal.close()
        journal = await Journal.open(path)
        assert await journal.orders() == sorted(orders, key=lambda order: order.placed_at)
        await journal.close()


async def test_the_oldest_orders_that_ended_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ucm_provision.core.policy.ORDERS_KEPT", 2)
    journal = await Journal.open(tmp_path / "journal.sqlite3")
    for number, state in enumerate([OrderState.OPEN, OrderState.DONE, OrderState.DONE, OrderState.REFUSED]):
        await journal.keep_order(Order(str(number), "somebody", float(number), float(number), state=state))
    assert [order.id for order in await journal.orders()] == ["0", "2", "3"]
    await journal.close()


async def test_past_failures_are_told_once_each_with_how_often_and_the_last_detail(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path / "journal.sqlite3")
    happened = [
        ("a", Failed(Code.LINK_SILENT, "first")),
        ("b", Failed(Code.API_FAILED, "of b")),
        ("a", SetBack(Code.LINK_SILENT, "no failure by itself")),
        ("a", Failed(Code.BROKER_TIMEOUT, "between")),
        ("a", Failed(Code.LINK_SILENT, "last")),
        ("c", Failed(Code.API_FAILED, "nobody asks for c")),
    ]
    for at, (session_id, event) in enumerate(happened):
        await journal.append(Session(session_id, ENDPOINT, 0.0, 0.0), event, float(at))
    assert await journal.past_failures(["a", "b", "unknown"]) == {
        "b": [PastFailure(Code.API_FAILED, "of b", 1, 1.0, 1.0)],
        "a": [
            PastFailure(Code.BROKER_TIMEOUT, "between", 1, 3.0, 3.0),
            PastFailure(Code.LINK_SILENT, "last", 2, 0.0, 4.0),
        ],
    }
    assert await journal.past_failures([]) == {}
    await journal.close()
