"""Modules and Gateways that announce themselves on the LAN.

Announcements, netlink and timers only wake. Who is there is always read from the records that are
held, and what there is to listen on from the kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence

import structlog

from ucm_provision.core import policy
from ucm_provision.core.model import GatewaySighting
from ucm_provision.core.ports import Clock
from ucm_provision.discovery import interfaces, records
from ucm_provision.discovery.appearances import Appearances
from ucm_provision.discovery.hearing import Hearing, hearing
from ucm_provision.discovery.interfaces import AddressNews, Network
from ucm_provision.discovery.records import AnnouncementError, Module
from ucm_provision.discovery.roster import Instance, IsKnown, Roster
from ucm_provision.discovery.usb import Sight

log = structlog.get_logger()


def _nobody(_gateways: tuple[GatewaySighting, ...]) -> None:
    pass


class LanBrowser:
    """Watches the LAN for as long as :meth:`run` runs, whatever becomes of the network meanwhile.

    A module is one endpoint for as long as it announces itself, with the routes of the moment. It is
    reported when it appears, when its routes change, and a moment after it has gone. mDNS only
    proposes: a module without power stays until its announcement expires, which may take 75 minutes.

    Args:
        addresses: The machine's own addresses to listen on; empty for all but loopback ones.
        clock: The time.
        is_known: Whether somebody counts on a hardware id (normal form). Called for each newcomer in
            the event loop. Those that it knows are listened to however many others there are.
        on_gateways: Called in the event loop with all Gateways whenever they change.

    Raises:
        ValueError: one of ``addresses`` is no IP address.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        clock: Clock,
        is_known: IsKnown,
        on_gateways: Callable[[tuple[GatewaySighting, ...]], None] = _nobody,
    ) -> None:
        self._wanted = interfaces.normal(addresses)
        self._clock = clock
        self._on_gateways = on_gateways
        self._roster = Roster(is_known)
        self._appearances: Appearances[Module | GatewaySighting] = Appearances()
        self._gateways: dict[str, GatewaySighting] = {}
        self._hearing: Hearing | None = None
        self._listening = asyncio.Event()
        self._unread: dict[str, None] = {}
        self._stirred = asyncio.Event()
        self._unasked: asyncio.PriorityQueue[tuple[bool, int, str]] = asyncio.PriorityQueue()
        self._complaints = _Complaints()

    @property
    def listening(self) -> asyncio.Event:
        """Set while there is a network to listen on."""
        return self._listening

    @property
    def gateways(self) -> tuple[GatewaySighting, ...]:
        """The Gateways that are announced now."""
        return tuple(self._gateways.values())

    def routes_of(self, key: str) -> tuple[str, ...]:
        """The routes of the moment of the module with that endpoint key; empty when it is not announced."""
        found = self._appearances.get(records.instance_of_key(key))
        return found.routes if isinstance(found, Module) else ()

    async def run(self, sight: Sight) -> None:
        """Reports what changes, for ever. Departures come before arrivals."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._report(sight))
            group.create_task(self._tend())
            for _ in range(policy.MDNS_ASKED_AT_ONCE):
                group.create_task(self._ask())

    # ---- what the door says (hearing.Listener) ---------------------------------------------------

    def announced(self, instance: Instance, seconds: int) -> None:
        now = self._clock.monotonic()
        instance.expires = now + seconds
        if seconds == 0:
            self._appearances.lost(instance.name, now + policy.MDNS_DEPARTURE_SETTLE)
            self._stirred.set()
        elif self._appearances.is_leaving(instance.name):
            self.changed((instance.name,))

    def changed(self, names: Iterable[str]) -> None:
        self._unread.update(dict.fromkeys(names))
        self._stirred.set()

    def refused(self, name: str, why: str) -> None:
        self._complaints.add(name, why)

    # ---- the network -----------------------------------------------------------------------------

    async def _listen(self) -> None:
        with interfaces.listening() as news:
            while True:
                network = self._look()
                if network:
                    await self._listen_on(network, news)
                else:
                    log.info("there is no network to find modules on")
                    await self._stir(news)

    async def _listen_on(self, network: Network, news: AddressNews) -> None:
        """Until the addresses are others. Whom the last instance knew has to be heard by this one."""
        try:
            async with hearing(network, self._roster, self) as self._hearing:
                self._listening.set()
                self._stirred.set()  # there may be something to read already
                log.info("listening for modules on the LAN", addresses=[str(a.ip) for a in network.addresses])
                while self._look() == network:
                    await self._stir(news)
        except OSError as error:
            self._complaints.once("the LAN cannot be listened to", str(error))
            await self._stir(news)
        finally:
            self._hearing = None
            self._listening.clear()
            self._appearances.doubt_all(self._clock.monotonic() + policy.MDNS_REBUILD_GRACE)
            self._stirred.set()

    async def _stir(self, news: AddressNews) -> None:
        await news.stirred(policy.MDNS_NETWORK_EVERY)
        await self._clock.sleep(policy.MDNS_NETWORK_SETTLE)

    def _look(self) -> Network:
        try:
            return interfaces.look(self._wanted)
        except OSError as error:
            self._complaints.once("the machine's addresses cannot be read", str(error))
            return Network(())

    # ---- who is there ----------------------------------------------------------------------------

    async def _report(self, sight: Sight) -> None:
        while True:
            # What is heard before the sockets are all open is no news again later, so it has to wait until then.
            while self._unread and self._hearing is not None:
                self._read_some()
                await asyncio.sleep(0)
            await self._tell(sight)
            await self._news()

    async def _news(self) -> None:
        """Until there is something to read, or a departure is due."""
        due = self._appearances.due()
        patience = None if due is None else max(due - self._clock.monotonic(), 0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._stirred.wait()
        self._stirred.clear()

    def _read_some(self) -> None:
        for name in list(self._unread)[: policy.MDNS_READ_AT_ONCE]:
            del self._unread[name]
            if instance := self._roster.get(name):
                self._read(instance)

    def _read(self, instance: Instance) -> None:
        if self._hearing is None or instance.expires <= self._clock.monotonic():
            return
        announcement = self._hearing.announcement(instance)
        if announcement is None:
            self._want(instance)
            return
        instance.tries = 0
        judge = records.module if instance.service == records.MODULES else records.gateway
        try:
            self._appearances.seen(instance.name, judge(announcement, loopback=self._hearing.has_loopback))
        except AnnouncementError as error:
            self._complaints.add(instance.name, str(error))
            self._give_up(instance)

    def _give_up(self, instance: Instance) -> None:
        """Makes room, unless it is there: what somebody else says in its name takes nobody away."""
        if instance.name not in self._appearances:
            self._forget(instance)

    def _forget(self, instance: Instance) -> None:
        self._roster.forget(instance)
        if self._hearing is not None:
            self._hearing.forget(instance, host=not self._roster.on_host(instance.host))

    async def _tell(self, sight: Sight) -> None:
        before = self.gateways
        for name, found, present in self._appearances.take(self._clock.monotonic()):
            if not present and (instance := self._roster.get(name)):
                self._forget(instance)
            if isinstance(found, Module):
                await sight(found.sighting(present=present))
            else:
                self._keep_gateway(name, found, present=present)
        if self.gateways != before:
            self._on_gateways(self.gateways)

    def _keep_gateway(self, name: str, found: GatewaySighting, *, present: bool) -> None:
        self._gateways.pop(name, None)
        if present:
            self._gateways[name] = found

    # ---- what an announcement lacks --------------------------------------------------------------

    def _want(self, instance: Instance) -> None:
        """Known ones are asked first. Who does not answer is asked again only once it has said more."""
        if not instance.asked and instance.tries < policy.MDNS_ASK_TRIES:
            instance.asked = True
            self._unasked.put_nowait((not instance.known, instance.tries, instance.name))

    async def _ask(self) -> None:
        while True:
            _, _, name = await self._unasked.get()
            if instance := self._roster.get(name):
                if self._hearing is not None:
                    await self._hearing.ask(instance)
                self._asked(instance)

    def _asked(self, instance: Instance) -> None:
        instance.asked = False
        if self._hearing is None or self._hearing.announcement(instance) is not None:
            return
        instance.tries += 1
        if instance.tries < policy.MDNS_ASK_TRIES:
            self._want(instance)
        elif self._roster.get(instance.name) is instance:
            self._give_up(instance)

    # ---- now and then ----------------------------------------------------------------------------

    async def _tend(self) -> None:
        while True:
            await self._clock.sleep(policy.MDNS_TEND_EVERY)
            self._expire(self._clock.monotonic())
            self._roster.tidy()
            self._complaints.tell(self._clock.monotonic())
            if self._roster.is_worn:
                self._roster.renew()
                if self._hearing is not None:
                    await self._hearing.ask_anew()

    def _expire(self, now: float) -> None:
        for instance in [each for each in self._roster if each.expires <= now]:
            if instance.name in self._appearances:
                self._appearances.lost(instance.name, now + policy.MDNS_DEPARTURE_SETTLE)
                self._stirred.set()
            else:
                self._forget(instance)


class _Complaints:
    """Says now and then what was not believed, however much of it there was."""

    def __init__(self) -> None:
        self._count = 0
        self._last = ("", "")
        self._told = float("-inf")
        self._said: dict[str, str] = {}

    def add(self, name: str, why: str) -> None:
        self._count += 1
        self._last = (name, why)

    def once(self, event: str, why: str) -> None:
        """Said again only when the reason is another."""
        if self._said.get(event) != why:
            self._said[event] = why
            log.warning(event, why=why)

    def tell(self, now: float) -> None:
        if self._count and now - self._told >= policy.MDNS_COMPLAIN_EVERY:
            name, why = self._last
            log.warning("announcements on the LAN were ignored", count=self._count, last=name, why=why)
            self._count, self._told = 0, now
