"""What a module says of its own attempt: each reason is provoked at the module, and told with its code.

The box only warns (`policy.check = "warn"`), so that what is wrong reaches the module.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.front import Front
from tests.e2e.lan import holding, listed, of, on_lan, powered
from tests.e2e.station import PASSPHRASE, SSID, FastClock, Station, site_settings
from tests.wire.broker.authority import Authority, Issued
from tests.wire.broker.servers import ScriptedBroker, server_context, serving
from ucm_sim import Air, LanSegment, Network, ScaledClock
from ucm_site_api import SiteApi

FAST = 30.0
DAY = timedelta(days=1)
# Ten real seconds: how long a module waits for an answer on the network is not sped up.
LONG = 300


@dataclass
class Wrong:
    """The place where something is wrong for the module."""

    station: Station
    front: Front
    folder: Path
    stack: AsyncExitStack

    def broker_at(self, host: str, port: int) -> None:
        self.station.override |= {"mqtt_host": f'"{host}"', "mqtt_port": str(port)}

    def credentials(self, issued: Issued, authority: Authority) -> None:
        """The API hands these out in place of its own."""

        def alter(body: dict[str, Any]) -> None:
            body["config"]["mqtt_credentials"] |= {
                "private_key": issued.key_pem(),
                "certificate": issued.certificate_pem,
                "ca_chain": authority.itself.certificate_pem,
            }

        self.front.alter = alter

    async def tls_broker(self, authority: Authority, server: Issued, clients: Authority) -> None:
        """A broker that the module trusts as far as ``authority`` goes, and that takes certificates of ``clients``."""
        self.credentials(authority.issue(), authority)
        context = server_context(self.folder, server, clients)
        broker = await self.stack.enter_async_context(serving(ScriptedBroker(), context))
        self.broker_at("127.0.0.1", broker.port)

    async def mqtt_broker(self, broker: ScriptedBroker) -> None:
        self.station.protocol = "MQTT"
        await self.stack.enter_async_context(serving(broker))
        self.broker_at("127.0.0.1", broker.port)


async def dns_failed(wrong: Wrong) -> None:
    wrong.broker_at("broker.invalid", 8883)


async def tcp_refused(wrong: Wrong) -> None:
    listener = wrong.stack.enter_context(socket.socket())  # bound, and not listening
    listener.bind(("127.0.0.1", 0))
    wrong.broker_at("127.0.0.1", listener.getsockname()[1])


async def tcp_timeout(wrong: Wrong) -> None:
    """Nobody accepts, and the queue of those who wait is full."""
    listener = wrong.stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    first = wrong.stack.enter_context(socket.create_connection(listener.getsockname()))
    assert first.getpeername() == listener.getsockname()
    wrong.broker_at(*listener.getsockname())
    wrong.station.trial_s = LONG


async def tls_untrusted(wrong: Wrong) -> None:
    elsewhere = wrong.folder / "elsewhere"
    elsewhere.mkdir()
    other = await wrong.stack.enter_async_context(SiteApi(site_settings(elsewhere)))
    wrong.broker_at("127.0.0.1", other.mqtts_port)


async def tls_expired(wrong: Wrong) -> None:
    authority = Authority()
    server = authority.issue("broker", begins=-2 * DAY, ends=-DAY)
    await wrong.tls_broker(authority, server, authority)


async def tls_rejected(wrong: Wrong) -> None:
    authority = Authority()
    await wrong.tls_broker(authority, authority.issue("broker"), Authority("Another CA"))


async def mqtt_not_authorized(wrong: Wrong) -> None:
    await wrong.mqtt_broker(ScriptedBroker(connack=5))


async def mqtt_unavailable(wrong: Wrong) -> None:
    await wrong.mqtt_broker(ScriptedBroker(connack=3))


async def time_timeout(wrong: Wrong) -> None:
    silent = wrong.stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    silent.bind(("127.0.0.1", 0))
    port = silent.getsockname()[1]
    wrong.station.trial_s = LONG
    wrong.station.override["time_sync"] = f'{{ protocol = "NTP", host = "127.0.0.1", port = {port} }}'


async def config_invalid(wrong: Wrong) -> None:
    """A key that the module's TLS refuses to work with."""
    authority = Authority()
    wrong.credentials(authority.issue(bits=1024), authority)


async def expired(wrong: Wrong) -> None:
    """A broker that takes the module's connection and says nothing more."""
    await wrong.mqtt_broker(ScriptedBroker(suback=None))


REASONS: list[Callable[[Wrong], Awaitable[None]]] = [
    dns_failed,
    tcp_refused,
    tcp_timeout,
    tls_untrusted,
    tls_expired,
    tls_rejected,
    mqtt_not_authorized,
    mqtt_unavailable,
    time_timeout,
    config_invalid,
    expired,
]


@asynccontextmanager
async def something_wrong(station: Station, front: Front, folder: Path) -> AsyncIterator[Wrong]:
    station.policy, station.trial_s = 'check = "warn"', 90
    async with AsyncExitStack() as stack:
        yield Wrong(station, front, folder, stack)


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.__name__)
async def test_each_reason_has_its_code(
    station: Station, front: Front, tmp_path: Path, reason: Callable[[Wrong], Awaitable[None]]
) -> None:
    async with something_wrong(station, front, tmp_path) as wrong:
        await reason(wrong)
        async with (
            station.daemon(clock=FastClock(FAST)) as running,
            station.module(clock=ScaledClock(FAST)) as module,
        ):
            view = await running.held(f"trial_{reason.__name__}")
            assert view["milestone"] == "PROVISIONED"
            assert "old" in (view["hold"] or {}).get("message", "")
            assert module.active_generation == 0


async def test_a_network_that_gives_no_address(station: Station) -> None:
    """A module on the LAN of another network moves to the configured one, and comes back."""
    on_lan(station).trial_s = 30
    (identity,) = listed(station, 1)
    here, nowhere = LanSegment(), LanSegment(["192.0.2.250"], mdns=False)
    async with station.daemon(clock=FastClock(FAST)) as running:
        air = Air([Network("old-wifi", "battery staple", segment=here), Network(SSID, PASSPHRASE, segment=nowhere)])
        known = {"old-wifi": "battery staple"}
        async with powered([identity], here, networks=None, air=air, wifi=known, clock=ScaledClock(FAST)) as modules:
            await running.until(of(modules[0], holding("trial_dhcp_timeout")))


async def test_a_module_that_forgets_its_trial(station: Station) -> None:
    """Its flash is erased in the middle of it: it can't say why it has no configuration."""
    station.trial_s = 900
    station.protocol, station.policy = "MQTT", 'check = "warn"'
    async with serving(ScriptedBroker(suback=None)) as silent:
        station.override |= {"mqtt_host": '"127.0.0.1"', "mqtt_port": str(silent.port)}
        async with station.daemon(clock=FastClock(FAST)) as running:
            async with station.module(clock=ScaledClock(FAST)) as module:
                await running.until(lambda view: view["milestone"] == "PUSHED")
            (station.folder / f"module-{module.identity.hardware_id}.flash").unlink()
            async with station.module(clock=ScaledClock(FAST)):
                await running.held("trial_lost")
