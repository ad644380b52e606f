"""Ends are enforced as they come."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from tests.site.harness import DEADLINE
from ucm_site_api import upkeep
from ucm_site_api.brokers import Broker
from ucm_site_api.registry import Registry
from ucm_site_api.upkeep import cancelled, keep_ends

NOW = datetime(2026, 6, 1, tzinfo=UTC)


class Recorder:
    """A broker and a registry that are asked, and tell when."""

    def __init__(self, end: datetime | None) -> None:
        self.attention = asyncio.Event()
        self.enforced = asyncio.Semaphore(0)
        self.end = end
        self.failing = False

    async def enforce_ends(self) -> None:
        self.enforced.release()
        if self.failing:
            raise OSError("the disk is full")

    async def next_end(self, now: datetime) -> datetime | None:
        return self.end


async def rounds(recorder: Recorder, count: int, *, asking: bool = False) -> None:
    task = asyncio.create_task(keep_ends(cast("Broker", recorder), cast("Registry", recorder), lambda: NOW))
    try:
        async with asyncio.timeout(DEADLINE):
            for _ in range(count):
                await recorder.enforced.acquire()
                if asking:
                    recorder.attention.set()
    finally:
        await cancelled(task)


async def test_at_the_start_and_when_a_grace_ends() -> None:
    await rounds(Recorder(NOW + timedelta(milliseconds=80)), 3)


async def test_when_the_broker_asks_even_while_ends_are_enforced() -> None:
    await rounds(Recorder(None), 3, asking=True)


async def test_a_failure_is_followed_by_another_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "_LONGEST_WAIT", 0.02)
    recorder = Recorder(None)
    recorder.failing = True
    await rounds(recorder, 3)


async def test_an_end_far_away_or_past_is_no_wait_without_measure() -> None:
    assert upkeep._until(NOW + timedelta(days=300), NOW) == 60
    assert upkeep._until(NOW - timedelta(days=300), NOW) == pytest.approx(0.05)
