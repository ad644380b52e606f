"""One python-zeroconf instance on one set of addresses, with a door in front of its cache.

python-zeroconf keeps whatever anybody on the LAN announces: ten thousand records of any kind, the
longest-lived ones longest, and a query for each instance that it ever heard of. So what nobody has
asked for is turned away before it gets there, and lifetimes are kept by the :class:`Roster`'s owner.
"""

from __future__ import annotations

import contextlib
import functools
import socket
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Protocol, cast

from zeroconf import IPVersion, NotRunningException, Zeroconf

# The only seam in front of the cache, and what passes through it. The version is pinned for their sake.
from zeroconf._dns import DNSAddress, DNSPointer, DNSRecord, DNSService, DNSText
from zeroconf._handlers.record_manager import RecordManager
from zeroconf._protocol.incoming import DNSIncoming
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from ucm_provision.core import policy
from ucm_provision.discovery import records
from ucm_provision.discovery.interfaces import Network
from ucm_provision.discovery.records import Address, Announcement, AnnouncementError
from ucm_provision.discovery.roster import Instance, Roster

_Record = DNSAddress | DNSPointer | DNSService | DNSText
_SERVICES = (records.MODULES, records.GATEWAYS)
_PTR, _CLASS_IN = 12, 1
# python-zeroconf gives records that a newer one has replaced this many seconds more.
_REPLACED = 1


class Listener(Protocol):
    """Told from within the event loop, for every datagram: it must be quick and must not raise."""

    def announced(self, instance: Instance, seconds: int) -> None:
        """A PTR record came, for so long; 0 is a goodbye."""

    def changed(self, names: Iterable[str]) -> None:
        """These instances have records that were not there before, or have lost some."""

    def refused(self, name: str, why: str) -> None:
        """What was announced is not believed."""


class _Door(RecordManager):
    """Lets in the records of instances in the roster, from neighbours, and few of each name."""

    def __init__(self, zeroconf: Zeroconf, network: Network, roster: Roster, listener: Listener) -> None:
        super().__init__(zeroconf)
        # The same neighbours speak again and again.
        self._is_on_link = functools.lru_cache(policy.MDNS_NEIGHBOURS)(network.is_on_link)
        self._roster = roster
        self._listener = listener

    def async_updates_from_response(self, msg: DNSIncoming) -> None:
        source = cast("tuple[str, int]", msg.source)[0]
        if not self._is_on_link(source, msg.scope_id):
            return
        answers = msg.answers()
        admitted = [*self._pointers(answers), *self._details(answers), *self._addresses(answers)]
        news = {name for record in admitted if self._is_news(record, admitted) for name in self._concerned(record)}
        answers[:] = [self._said_again(record) or record for record in admitted]
        super().async_updates_from_response(msg)
        self._tell(answers, news)

    def _tell(self, answers: list[DNSRecord], news: set[str]) -> None:
        """The lifetimes are those that python-zeroconf has settled on: it believes in no short ones."""
        for record in answers:
            if isinstance(record, DNSPointer) and (instance := self._roster.get(record.alias_key)):
                self._listener.announced(instance, record.ttl)
        if news:
            self._listener.changed(news)

    def _pointers(self, answers: list[DNSRecord]) -> Iterator[_Record]:
        for record in answers:
            if isinstance(record, DNSPointer) and record.type == _PTR and record.key in _SERVICES:
                # Only one that is shared leaves the others' pointers alone (RFC 6762, section 10.2).
                record.unique = False
                record.ttl = min(record.ttl, policy.MDNS_TTL_LONGEST)
                if self._is_admitted(record):
                    yield record

    def _is_admitted(self, record: DNSPointer) -> bool:
        if record.ttl == 0:
            return record.alias_key in self._roster
        try:
            self._roster.admit(record.alias, record.key)
        except AnnouncementError as error:
            self._listener.refused(record.alias, str(error))
            return False
        return True

    def _details(self, answers: list[DNSRecord]) -> Iterator[_Record]:
        for record in answers:
            if not isinstance(record, DNSService | DNSText) or record.key not in self._roster:
                continue
            if isinstance(record, DNSText) and len(record.text) > policy.MDNS_TEXT_LARGEST:
                self._listener.refused(record.name, "the text is too large")
                continue
            if isinstance(record, DNSService):
                self._roster.settle(record.key, record.server_key)
            self._bound(record)
            yield record

    def _addresses(self, answers: list[DNSRecord]) -> Iterator[_Record]:
        for record in answers:
            if isinstance(record, DNSAddress) and self._roster.on_host(record.key):
                self._bound(record)
                yield record

    def _bound(self, record: _Record) -> None:
        """The oldest records of a name make room: whoever floods it can be no more than the latest."""
        record.ttl = min(record.ttl, policy.MDNS_TTL_LONGEST)
        same = self.cache.async_entries_with_name(record.name)
        if len(same) >= policy.MDNS_RECORDS_OF_A_NAME:
            self.cache.async_remove_records([min(same, key=lambda each: each.created)])

    def _is_news(self, record: _Record, admitted: list[_Record]) -> bool:
        stored = self.cache.async_get_unique(record)
        return record.ttl == 0 or stored is None or stored.ttl <= _REPLACED or self._may_replace(record, admitted)

    def _may_replace(self, record: _Record, admitted: list[_Record]) -> bool:
        """Also one that is there already: others of its name and type end with it, unless they are said with it."""
        if not record.unique:
            return False
        same = self.cache.async_all_by_details(record.name, record.type, record.class_)
        return any(each.ttl > _REPLACED and each not in admitted for each in same)

    def _said_again(self, record: _Record) -> DNSRecord | None:
        """The record that is there already, with the new one's lifetime: python-zeroconf would hold on to both."""
        stored = self.cache.async_get_unique(record)
        if stored is None or record.ttl == 0:
            return None
        stored.created, stored.ttl, stored.unique = record.created, record.ttl, record.unique
        return stored

    def _concerned(self, record: _Record) -> Iterable[str]:
        if isinstance(record, DNSPointer):
            return (record.alias_key,)
        if isinstance(record, DNSAddress):
            return self._roster.on_host(record.key)
        return (record.key,)


class Hearing:
    """What is heard on one network. Made by :func:`hearing`."""

    def __init__(self, zeroconf: Zeroconf, network: Network) -> None:
        self._zeroconf = zeroconf
        self._network = network
        self._browser = self._browse()

    @property
    def has_loopback(self) -> bool:
        return self._network.has_loopback

    def announcement(self, instance: Instance) -> Announcement | None:
        """What is there of an instance; None while a part is missing."""
        cache = self._zeroconf.cache
        own = self._latest_first(instance.name)
        service = next((record for record in own if isinstance(record, DNSService)), None)
        text = next((record for record in own if isinstance(record, DNSText)), None)
        if service is None or text is None:
            return None
        addresses = tuple(self._addresses(cache.async_entries_with_name(service.server)))
        if not addresses:
            return None
        return Announcement(instance.label, service.server, service.port, text.text, addresses)

    async def ask(self, instance: Instance) -> None:
        """Asks for what is missing. The answer comes like everything else."""
        info = AsyncServiceInfo(instance.service, instance.name)
        with contextlib.suppress(NotRunningException):  # closed meanwhile
            await info.async_request(self._zeroconf, policy.MDNS_ASK_DEADLINE * 1000)

    def forget(self, instance: Instance, *, host: bool) -> None:
        """Leaves nothing behind of an instance, so that its next word is news; of its ``host`` if no other is there."""
        cache = self._zeroconf.cache
        pointer = DNSPointer(instance.service, _PTR, _CLASS_IN, 0, instance.name)
        stored = cache.async_get_unique(pointer)
        cache.async_remove_records([] if stored is None else [stored])
        cache.async_remove_records(cache.async_entries_with_name(instance.name))
        if host:
            cache.async_remove_records(cache.async_entries_with_name(instance.host))

    async def ask_anew(self) -> None:
        """Starts the queries from the beginning. Their schedule remembers every instance that it ever heard of."""
        await self.stop()
        self._browser = self._browse()

    async def stop(self) -> None:
        await self._browser.async_cancel()

    def _browse(self) -> AsyncServiceBrowser:
        """It asks, and asks again before lifetimes end; what it hears of the answers is not needed."""
        return AsyncServiceBrowser(self._zeroconf, list(_SERVICES), handlers=[_nothing])

    def _latest_first(self, name: str) -> list[DNSRecord]:
        """Replaced ones last: python-zeroconf makes them as old as what has replaced them."""
        stored = self._zeroconf.cache.async_entries_with_name(name)
        return sorted(stored, key=lambda each: (each.ttl <= _REPLACED, -each.created))

    def _addresses(self, cached: list[DNSRecord]) -> Iterator[Address]:
        for record in cached:
            if isinstance(record, DNSAddress) and record.ttl > _REPLACED:
                yield Address(record.address, self._network.zone(record.scope_id or 0))


def _nothing(**_: object) -> None:
    """A browser wants somebody to tell."""


@contextlib.asynccontextmanager
async def hearing(network: Network, roster: Roster, listener: Listener) -> AsyncIterator[Hearing]:
    """Opens the sockets, and closes them at the end.

    Raises:
        OSError: an address cannot be used, or no longer.
    """
    choice = network.choice()
    zeroconf = Zeroconf(choice, ip_version=_families(choice), use_asyncio=True)
    # Before its sockets are read for the first time, which is at the loop's next turn.
    zeroconf.record_manager = _Door(zeroconf, network, roster, listener)
    opened: Hearing | None = None
    try:
        await _started(zeroconf)
        _have_patience(zeroconf)
        opened = Hearing(zeroconf, network)
        yield opened
    finally:
        if opened is not None:
            await opened.stop()
        with contextlib.suppress(OSError):  # told by _started already
            await AsyncZeroconf(zc=zeroconf).async_close()


async def _started(zeroconf: Zeroconf) -> None:
    try:
        await zeroconf.async_wait_for_start()
    except NotRunningException:
        raise OSError("the sockets could not be opened") from None


def _have_patience(zeroconf: Zeroconf) -> None:
    """Modules that are switched on together announce themselves at once, and twice in all."""
    for reader in zeroconf.engine.readers:
        reader.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, policy.MDNS_BUFFER)


def _families(choice: list[str | int]) -> IPVersion:
    v6 = [each for each in choice if isinstance(each, int) or ":" in each]
    if not v6:
        return IPVersion.V4Only
    return IPVersion.V6Only if len(v6) == len(choice) else IPVersion.All
