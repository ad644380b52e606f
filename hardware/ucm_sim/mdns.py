"""One mDNS responder for every module of the process.

Instance names contain the hardware id and are unique, so nothing is probed for: a probe asks for all services
of the type, and a thousand modules that start together would each have a thousand answers sent. Announcements
go out twice, a second apart (RFC 6762, section 8.3), several services in a packet and a packet every few
milliseconds, so that no listener's socket overflows.
"""

import asyncio
import heapq
import itertools
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from zeroconf import IPVersion, ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

from ucm_sim.tasks import end

SERVICE_TYPE = "_ucm-prov._tcp.local."

_SERVICES_A_PACKET = 4  # about 300 bytes each, and a packet is to fit an Ethernet frame
_PACE_S = 0.01
_AGAIN_AFTER_S = 1.0
_GOODBYE = 0


@dataclass(frozen=True, slots=True)
class Service:
    """What a module says of itself. `instance` is the first label of its name."""

    instance: str
    address: str
    port: int
    txt: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Announcement:
    info: ServiceInfo
    ttl: int | None  # seconds; None: the records' own


@dataclass(order=True, frozen=True, slots=True)
class _Turn:
    at: float
    number: int
    announcement: _Announcement = field(compare=False)


class Responder:
    """Announces services and answers for them, on the interfaces with the given addresses, while it is started.

    `ttl_s` is for how many seconds listeners may believe the records. With `reannounce_s` each service is announced
    again so often, unasked and in a packet of its own. Raises OSError at construction for an address that no
    interface has.
    """

    def __init__(self, interface_addresses: Sequence[str], ttl_s: int, reannounce_s: float | None = None) -> None:
        for address in interface_addresses:
            _require(address)
        self._zeroconf = AsyncZeroconf(list(interface_addresses), ip_version=IPVersion.V4Only)
        self._ttl_s = ttl_s
        self._reannounce_s = reannounce_s
        self._latest: dict[str, _Announcement] = {}
        self._turns: list[_Turn] = []
        self._numbers = itertools.count()
        self._pending = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None
        self._reminding: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._zeroconf.zeroconf.async_wait_for_start()
        self._sending = asyncio.create_task(self._send_in_turn())
        if self._reannounce_s is not None:
            self._reminding = asyncio.create_task(self._remind(self._reannounce_s))

    async def close(self) -> None:
        """Send the goodbyes that are still due and stop answering."""
        await end(self._reminding)
        await end(self._sending)
        self._turns = sorted(turn for turn in self._turns if turn.announcement.ttl == _GOODBYE)
        while self._turns:
            self._send_due()
            await asyncio.sleep(_PACE_S)
        await self._zeroconf.async_close()

    def publish(self, service: Service) -> None:
        """Announce a service, or what has changed about one."""
        info = self._info(service)
        self._zeroconf.zeroconf.registry.async_update(info)
        announcement = _Announcement(info, None)
        self._schedule(announcement, 0)
        self._schedule(announcement, _AGAIN_AFTER_S)

    def withdraw(self, instance: str, *, goodbye: bool) -> None:
        """Answer for a service no more; without `goodbye` nobody is told."""
        info = self._zeroconf.zeroconf.registry.async_get_info_name(f"{instance}.{SERVICE_TYPE}".lower())
        if info is None:
            return
        self._zeroconf.zeroconf.registry.async_remove(info)
        self._take_back_answers(info)
        del self._latest[info.key]
        if goodbye:
            self._schedule(_Announcement(info, _GOODBYE), 0)

    def _take_back_answers(self, info: ServiceInfo) -> None:
        """zeroconf holds answers back for a second or so, and would send them for a service that is gone by then."""
        records = (info.dns_pointer(), info.dns_service(), info.dns_text(), *info.dns_addresses())
        zeroconf = self._zeroconf.zeroconf
        for group in (*zeroconf.out_queue.queue, *zeroconf.out_delay_queue.queue):
            for record in records:
                group.answers.pop(record, None)

    def _info(self, service: Service) -> ServiceInfo:
        return ServiceInfo(
            SERVICE_TYPE,
            f"{service.instance}.{SERVICE_TYPE}",
            port=service.port,
            properties=dict(service.txt),
            server=f"{service.instance}.local.",
            host_ttl=self._ttl_s,
            other_ttl=self._ttl_s,
            parsed_addresses=[service.address],
        )

    def _schedule(self, announcement: _Announcement, after_s: float) -> None:
        self._latest[announcement.info.key] = announcement
        at = asyncio.get_running_loop().time() + after_s
        heapq.heappush(self._turns, _Turn(at, next(self._numbers), announcement))
        self._pending.set()

    async def _send_in_turn(self) -> None:
        while True:
            await self._pending.wait()
            self._send_due()
            if not self._turns:
                self._pending.clear()
            await asyncio.sleep(_PACE_S)

    def _send_due(self) -> None:
        """Send one packet, if anything is due."""
        if batch := self._next_batch(asyncio.get_running_loop().time()):
            self._send(batch)

    async def _remind(self, every_s: float) -> None:
        """Announce one after the other, spread evenly: modules were not switched on in the same second."""
        while True:
            round_of_all = list(self._latest.values())
            for announcement in round_of_all:
                await asyncio.sleep(every_s / len(round_of_all))
                if self._latest.get(announcement.info.key) is announcement and announcement.ttl != _GOODBYE:
                    self._send([announcement])
            if not round_of_all:
                await asyncio.sleep(_AGAIN_AFTER_S)

    def _send(self, batch: Sequence[_Announcement]) -> None:
        packet = self._zeroconf.zeroconf.generate_service_broadcast(batch[0].info, batch[0].ttl)
        for also in batch[1:]:
            info, ttl = also.info, also.ttl
            for record in (info.dns_pointer(ttl), info.dns_service(ttl), info.dns_text(ttl)):
                packet.add_answer_at_time(record, 0)
            for address in info.get_address_and_nsec_records(ttl):
                packet.add_answer_at_time(address, 0)
        self._zeroconf.zeroconf.async_send(packet)

    def _next_batch(self, now: float) -> list[_Announcement]:
        batch: list[_Announcement] = []
        while self._turns and self._turns[0].at <= now and len(batch) < _SERVICES_A_PACKET:
            announcement = heapq.heappop(self._turns).announcement
            # Others have been overtaken by what was said later.
            if self._latest.get(announcement.info.key) is announcement:
                batch.append(announcement)
        return batch


def _require(address: str) -> None:
    """Raise OSError for an address that no interface has: zeroconf would leave a socket behind."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
