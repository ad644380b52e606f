"""Modules on the loopback interface, announced by a real responder and by whoever likes to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from zeroconf.asyncio import AsyncServiceInfo

from tests.wire.mdns import packets
from tests.wire.mdns.lan import announce, announcer, info, new_id, watching
from ucm_provision.core import policy
from ucm_provision.core.model import Carrier, GatewaySighting
from ucm_provision.discovery import mdns
from ucm_provision.discovery.hearing import Hearing, Listener
from ucm_provision.discovery.interfaces import Network
from ucm_provision.discovery.mdns import LanBrowser
from ucm_provision.discovery.roster import Roster


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "MDNS_DEPARTURE_SETTLE", 0.5)
    monkeypatch.setattr(policy, "MDNS_TEND_EVERY", 0.2)


async def test_a_module_appears_moves_and_leaves() -> None:
    module = new_id()
    async with watching() as watcher, announcer() as responder:
        await announce(responder, info(module))
        await watcher.sightings_of(module, 1)
        await (await responder.async_update_service(info(module, ["192.0.2.8"], port=8080)))
        await watcher.sightings_of(module, 2)
        # RFC 6762 leaves the old address a second.
        assert "192.0.2.8:8080" in watcher.browser.routes_of(f"lan:{module}")
        await (await responder.async_unregister_service(info(module, ["192.0.2.8"], port=8080)))
        come, moved, gone = await watcher.sightings_of(module, 3)
        assert watcher.browser.routes_of(f"lan:{module}") == ()
    assert (come.endpoint.carrier, come.endpoint.address) == (Carrier.HTTP, f"ucm-{module}")
    assert come.endpoint.key == f"lan:{module}"
    assert come.endpoint == moved.endpoint == gone.endpoint
    assert (come.present, come.endpoint.routes) == (True, ("192.0.2.7:80",))
    assert moved.present
    assert "192.0.2.8:8080" in moved.endpoint.routes
    assert not gone.present


async def test_what_is_heard_while_sockets_are_being_opened_is_read_once_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, heard = new_id(), asyncio.Event()
    changed, opened = LanBrowser.changed, mdns.hearing

    def hear(browser: LanBrowser, names: Iterable[str]) -> None:
        changed(browser, names := list(names))
        if any(module.lower() in name for name in names):
            heard.set()

    @asynccontextmanager
    async def opening(network: Network, roster: Roster, listener: Listener) -> AsyncIterator[Hearing]:
        async with opened(network, roster, listener) as hearing:
            await heard.wait()
            await asyncio.sleep(0)  # whoever reads has had a turn
            yield hearing

    monkeypatch.setattr(LanBrowser, "changed", hear)
    monkeypatch.setattr(mdns, "hearing", opening)
    async with announcer() as responder:
        await announce(responder, info(module))
        async with watching() as watcher:
            await watcher.sightings_of(module, 1)


async def test_a_gateway_appears_and_leaves() -> None:
    name = f"GW {new_id()}"
    service = AsyncServiceInfo(
        f"{packets.GATEWAYS}.",
        f"{name}.{packets.GATEWAYS}.",
        port=80,
        server=f"{new_id()}.local.",
        parsed_addresses=["192.0.2.1"],
    )
    expected = GatewaySighting(name, service.server.removesuffix("."), 80, ("192.0.2.1",))
    module = new_id()
    async with watching() as watcher, announcer() as responder:
        await announce(responder, service)
        # What comes later is read later.
        await announce(responder, info(module))
        await watcher.sightings_of(module, 1)
        assert expected in watcher.browser.gateways
        await (await responder.async_unregister_service(service))
        await (await responder.async_unregister_service(info(module)))
        await watcher.sightings_of(module, 2)
        assert expected not in watcher.browser.gateways
    assert any(expected in gateways for gateways in watcher.gateways)


async def test_who_says_the_same_again_is_not_reported_again() -> None:
    module, other = new_id(), new_id()
    async with watching() as watcher:
        with packets.sender() as out:
            for port in (80, 80, 80):
                out.send(packets.module(module, port=port))
            out.send(packets.module(other))
            await watcher.sightings_of(other, 1)
            out.send(packets.module(module))
            out.send(packets.module(other, port=81))
            await watcher.sightings_of(other, 2)
    assert len(watcher.of(module)) == 1


@pytest.mark.parametrize("ports", [[81], [81, 80]])
async def test_what_is_said_last_counts(ports: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Records that are older than a second stay for another one beside those that replace them."""
    module, other = new_id(), new_id()
    monkeypatch.setattr(policy, "MDNS_DEPARTURE_SETTLE", 1.2)
    async with watching() as watcher:
        with packets.sender() as out:
            out.send(packets.module(module))
            out.send(packets.module(other))
            await watcher.sightings_of(other, 1)
            out.send(packets.module(other, ttl=0))
            await watcher.sightings_of(other, 2)
            for number, port in enumerate(ports, 2):
                out.send(packets.module(module, port=port))
                *_, last = await watcher.sightings_of(module, number)
                assert last.endpoint.routes == (f"192.0.2.7:{port}",)


async def test_an_address_is_gone_with_the_first_announcement_that_may_replace_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within a second of the old one the new one stands beside it (RFC 6762, section 10.2); said again, it is alone."""
    module, other = new_id(), new_id()
    monkeypatch.setattr(policy, "MDNS_DEPARTURE_SETTLE", 1.2)
    async with watching() as watcher:
        with packets.sender() as out:
            out.send(packets.module(other))
            out.send(packets.module(module, "192.0.2.7"))
            await watcher.sightings_of(module, 1)
            out.send(packets.module(module, "192.0.2.8"))
            await watcher.sightings_of(module, 2)
            out.send(packets.module(other, ttl=0))
            await watcher.sightings_of(other, 2)
            out.send(packets.module(module, "192.0.2.8"))
            await watcher.until(lambda: watcher.of(module)[-1].endpoint.routes == ("192.0.2.8:80",))


async def test_a_goodbye_that_was_not_meant_is_nothing() -> None:
    module, other = new_id(), new_id()
    async with watching() as watcher:
        with packets.sender() as out:
            out.send(packets.module(module))
            out.send(packets.module(other))
            await watcher.sightings_of(module, 1)
            await watcher.sightings_of(other, 1)
            out.send(packets.module(module, ttl=0))
            out.send(packets.module(other, ttl=0))
            out.send(packets.module(module))
            await watcher.sightings_of(other, 2)
            assert watcher.browser.routes_of(f"lan:{module}") == ("192.0.2.7:80",)
    assert len(watcher.of(module)) == 1


async def test_a_module_in_parts_is_asked_for_the_rest() -> None:
    """The records come one by one, and the address from a responder only when it is asked."""
    module = new_id()
    async with watching() as watcher, announcer() as responder:
        host = info(new_id())
        await announce(responder, host)
        with packets.sender() as out:
            out.send(packets.answer(packets.ptr(f"ucm-{module}")))
            out.send(packets.answer(packets.srv(f"ucm-{module}", host.server.removesuffix("."))))
            out.send(packets.answer(packets.txt(f"ucm-{module}", [b"v=1", f"id={module}".encode()])))
        (come,) = await watcher.sightings_of(module, 1)
    assert come.endpoint.routes == ("192.0.2.7:80",)


def hostile(module: str) -> dict[str, bytes]:
    instance, host, good = f"ucm-{module}", f"{module.lower()}.local", [b"v=1", b"id=" + module.encode()]

    def whole(text: list[bytes], *addresses: str, port: int = 80, name: str = instance) -> bytes:
        reach = [packets.address(host, ip) for ip in addresses or ("192.0.2.7",)]
        return packets.answer(packets.ptr(name), packets.srv(name, host, port), packets.txt(name, text), *reach)

    return {
        "another name": whole(good, name=f"acm-{module}"),
        "a short id": whole([b"v=1", b"id=" + module[1:].encode()], name=f"ucm-{module[1:]}"),
        "a space in the id": whole(good, name=f"ucm-{module} "),
        "dots in the id": whole(good, name=f"ucm-{module[:16]}.{module[16:]}"),
        "another version": whole([b"v=2", good[1]]),
        "no version": whole(good[1:]),
        "another id in the text": whole([b"v=1", b"id=" + new_id().encode()]),
        "no id in the text": whole(good[:1]),
        "a long value": whole([*good, b"fw=" + b"9" * 65]),
        "no ASCII": whole([*good, b"fw=\xff"]),
        "a large text": whole([*good, *[b"x=" + b"1" * 60] * 9]),
        "port 0": whole(good, port=0),
        "multicast": whole(good, "224.0.0.251", "ff02::fb"),
        "broadcast": whole(good, "255.255.255.255"),
        "unspecified": whole(good, "0.0.0.0", "::"),
        "link-local without a zone": whole(good, "fe80::1"),
        "IPv4 in disguise": whole(good, "::ffff:127.0.0.1"),
        "cut off": whole(good)[:-7],
        "a query": packets.answer()[:2] + b"\0\0" + whole(good)[4:],
    }


@pytest.mark.parametrize("what", hostile("0" * 32))
async def test_what_is_not_right_is_not_reported(what: str) -> None:
    module, honest = new_id(), new_id()
    async with watching() as watcher:
        with packets.sender() as out:
            out.send(packets.module(honest))
            await watcher.sightings_of(honest, 1)
            out.send(hostile(module)[what])
            out.send(packets.module(honest, port=81))
            await watcher.sightings_of(honest, 2)
    assert {sighting.announced_id for sighting in watcher.sightings if module in sighting.announced_id} == set()


async def test_nobody_takes_the_others_away_with_a_flush() -> None:
    module, other = new_id(), new_id()
    async with watching() as watcher:
        with packets.sender() as out:
            out.send(packets.module(module))
            await watcher.sightings_of(module, 1)
            out.send(packets.answer(packets.ptr(f"ucm-{new_id()}", flush=True)))
            out.send(packets.module(other))
            await watcher.sightings_of(other, 1)
            out.send(packets.module(other, ttl=0))
            await watcher.sightings_of(other, 2)
            assert watcher.browser.routes_of(f"lan:{module}")
    assert len(watcher.of(module)) == 1


async def test_the_latest_of_too_many_addresses_counts() -> None:
    module = new_id()
    async with watching() as watcher:
        with packets.sender() as out:
            for last in range(1, 100):
                out.send(packets.answer(*[packets.address(f"{module.lower()}.local", f"192.0.2.{last}")]))
            out.send(packets.module(module, "198.51.100.7"))
            await watcher.sightings_of(module, 1)
            for last in range(1, 100):
                out.send(packets.answer(packets.address(f"{module.lower()}.local", f"203.0.113.{last}")))
            out.send(packets.module(module, "198.51.100.8"))
            await watcher.until(lambda: "198.51.100.8:80" in watcher.of(module)[-1].endpoint.routes)
            routes = watcher.browser.routes_of(f"lan:{module}")
    assert len(routes) <= policy.MDNS_ROUTES
