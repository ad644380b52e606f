"""What is kept of announcements that say what was known already."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

import pytest
from zeroconf import DNSRecord, Zeroconf, current_time_millis
from zeroconf._protocol.incoming import DNSIncoming

from tests.wire.mdns.lan import LOOPBACK, MODULES, info, new_id
from ucm_provision.core import policy
from ucm_provision.discovery import interfaces
from ucm_provision.discovery.hearing import Hearing, hearing
from ucm_provision.discovery.roster import Instance, Roster

TTL = 120


@dataclass
class Ear:
    """A listener that keeps what it is told, and announcements that reach it without a network in between."""

    hearing: Hearing | None = None
    seconds: list[int] = field(default_factory=list)
    news: list[str] = field(default_factory=list)

    def announced(self, instance: Instance, seconds: int) -> None:
        self.seconds.append(seconds)

    def changed(self, names: Iterable[str]) -> None:
        self.news += names

    def refused(self, name: str, why: str) -> None:
        raise AssertionError(f"{name}: {why}")

    @property
    def zeroconf(self) -> Zeroconf:
        assert self.hearing is not None
        return self.hearing._zeroconf

    def hears(self, hardware_id: str, *, after_s: float = 0, ttl: int = TTL, **text: str) -> None:
        """An announcement as a module sends it, ``after_s`` seconds from now."""
        packet = self.zeroconf.generate_service_broadcast(info(hardware_id, **text), ttl).packets()[0]
        told = DNSIncoming(packet, (LOOPBACK, 5353), None, current_time_millis() + 1000 * after_s)
        self.zeroconf.record_manager.async_updates_from_response(told)

    def records(self, hardware_id: str) -> list[DNSRecord]:
        """All that is there of the module."""
        cache = self.zeroconf.cache
        names = (f"ucm-{hardware_id}.{MODULES}", f"{hardware_id.lower()}.local.")
        pointers = [each for each in cache.entries_with_name(MODULES) if getattr(each, "alias", "") == names[0]]
        return [*pointers, *(each for name in names for each in cache.entries_with_name(name))]


@pytest.fixture
async def ear() -> AsyncIterator[Ear]:
    ear = Ear()
    async with hearing(interfaces.look(frozenset({LOOPBACK})), Roster(lambda _: True), ear) as ear.hearing:
        yield ear


async def test_what_is_said_again_is_no_news_and_takes_no_more_room(ear: Ear) -> None:
    module = new_id()
    ear.hears(module)
    first = {id(record): record.created for record in ear.records(module)}
    ear.news.clear()
    for minute in range(1, 6):
        ear.hears(module, after_s=60 * minute)
    again = {id(record): record.created for record in ear.records(module)}
    assert len(first) == 4  # PTR, SRV, TXT, A
    assert again.keys() == first.keys()
    assert all(again[each] >= first[each] + 300_000 for each in first)
    assert {id(record) for _, record in ear.zeroconf.cache._expire_heap} == first.keys()
    assert ear.news == []


async def test_a_lifetime_is_as_long_the_second_time_as_the_first(ear: Ear) -> None:
    """python-zeroconf asks again late, and so believes in no lifetime that would be over before."""
    module = new_id()
    ear.hears(module)
    ear.hears(module, after_s=60)
    first, second = ear.seconds
    assert first == second > TTL


async def test_another_text_is_news_and_the_old_one_goes(ear: Ear) -> None:
    module = new_id()
    ear.hears(module)
    ear.news.clear()
    ear.hears(module, after_s=60, state="active")
    assert set(ear.news) == {f"ucm-{module}.{MODULES}".lower()}
    texts = [record for record in ear.records(module) if b"state=active" in getattr(record, "text", b"")]
    assert [record.ttl for record in texts] == [TTL]


async def test_a_goodbye_of_what_is_known_is_told(ear: Ear) -> None:
    module = new_id()
    ear.hears(module)
    ear.hears(module, after_s=60, ttl=0)
    assert ear.seconds[-1] == 0
    assert ear.records(module) == []


async def test_there_is_room_for_many_who_speak_at_once(ear: Ear) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, policy.MDNS_BUFFER)
        as_much_as_may_be = _room(other)
    assert {_room(reader.sock) for reader in ear.zeroconf.engine.readers} == {as_much_as_may_be}


def _room(bound: socket.socket) -> int:
    return bound.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
