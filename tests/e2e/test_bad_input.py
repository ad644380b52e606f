"""Whatever goes wrong has its own code, its sentence and its way on, and the module is as it was."""

from __future__ import annotations

import asyncio
import os
import socket
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.e2e.front import Front
from tests.e2e.station import HARDWARE_ID, IMPATIENT, POP, FastClock, Running, Station, site_settings, verified
from ucm_provision.core.model import Carrier, Endpoint, ProofOfPossession
from ucm_provision.core.secret import Secret
from ucm_provision.link.client import SerialLinks
from ucm_provision.transports.serial import open_port
from ucm_sim import ScaledClock, SerialModule
from ucm_site_api import SiteApi

FAST = 30.0


def untouched(module: SerialModule) -> bool:
    return (module.executed("begin"), module.executed("commit"), module.active_generation) == (0, 0, 0)


# ---- the module ----------------------------------------------------------------------------------


async def test_a_wrong_proof_of_possession_is_tried_three_times_and_no_more(station: Station) -> None:
    station.pops[HARDWARE_ID] = "not what the label says"
    async with station.daemon(clock=FastClock(FAST)) as running, station.module() as module:
        first = await running.held("pop_wrong", "retry_at")
        assert first["attempt"] == 1
        last = await running.held("pop_wrong", "operator")
        assert last["attempt"] == 3
        assert "Compare the manifest with the module's label" in (last["hold"] or {}).get("message", "")
        assert untouched(module)


async def test_an_unknown_proof_of_possession_waits_for_an_operator(station: Station) -> None:
    station.pops = {"V" + HARDWARE_ID: "of another module"}
    async with station.daemon() as running, station.module() as module:
        view = await running.held("pop_missing", "operator")
        assert HARDWARE_ID in (view["hold"] or {}).get("message", "")
        assert untouched(module)


@asynccontextmanager
async def terminal(link: Path, chatter: bytes) -> AsyncIterator[None]:
    """A serial device that is no UCM: it says the same thing for ever, or nothing."""
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    os.symlink(os.ttyname(slave), link)  # noqa: PTH211 -- moments, in a test
    loop = asyncio.get_running_loop()

    def say() -> None:
        try:
            os.write(master, chatter)
        except BlockingIOError:
            loop.remove_writer(master)  # nobody reads any more

    def drain() -> None:
        os.read(master, 4096)

    loop.add_reader(master, drain)
    if chatter:
        loop.add_writer(master, say)
    try:
        yield
    finally:
        loop.remove_reader(master)
        loop.remove_writer(master)
        os.unlink(link)  # noqa: PTH108 -- moments, in a test
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(
    ("chatter", "code"), [(b"", "link_silent"), (b"\x00\xff$GPGGA,123519,4807.038,N*47\r\n", "link_garbage")]
)
async def test_what_is_no_ucm_is_left_alone_after_a_few_tries(
    station: Station, tmp_path: Path, chatter: bytes, code: str
) -> None:
    async with (
        terminal(tmp_path / "ttyUCM0", chatter),
        station.daemon(clock=FastClock(300.0), timing=IMPATIENT) as running,
    ):
        view = await running.held(code, "operator")
        assert view["attempt"] == 5
        assert view["hardware_id"] is None


async def test_an_endpoint_that_vanishes_before_it_is_identified_leaves_nothing_behind(
    station: Station, tmp_path: Path
) -> None:
    async with station.daemon(timing=IMPATIENT) as running:
        async with terminal(tmp_path / "ttyUCM0", b""):
            await running.held("link_silent")
        await running.until(lambda view: view["milestone"] == "CANCELLED")
        assert running.views() == []


async def test_a_wrong_wifi_passphrase_rolls_the_module_back_and_asks_an_operator(station: Station) -> None:
    station.trial_s = 30
    networks = {"plant-wifi": "another passphrase"}
    async with (
        station.daemon(clock=FastClock(FAST)) as running,
        station.module(networks=networks, clock=ScaledClock(FAST)) as module,
    ):
        view = await running.held("trial_wifi_auth_failed", "operator")
        assert "WIFI" in (view["hold"] or {}).get("message", "")
        assert view["milestone"] == "PROVISIONED"
        assert (module.active_generation, module.trial_generation) == (0, 0)


async def test_a_module_that_another_box_has_reserved_is_waited_for(station: Station) -> None:
    pop = ProofOfPossession(Secret(POP))
    async with station.module() as module:
        async with SerialLinks(open_port).dial(Endpoint(Carrier.SERIAL, str(module.link), ""), lambda _: pop) as link:
            await link.reserve("another-box", 100)
        async with station.daemon() as running:
            view = await running.held("module_busy", "retry_at")
        hold = view["hold"]
        assert hold is not None
        assert hold["until"] is not None
        assert "another-box" in hold["message"]
        assert hold["until"] - view["updated_at"] > 60
        assert untouched(module)


# ---- the API -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "waits"),
    [
        (401, "api_unauthorized", "retry_at"),
        (403, "api_unauthorized", "retry_at"),
        (409, "api_conflict", "operator"),
        (422, "api_rejected", "operator"),
        (429, "api_rate_limited", "retry_at"),
        (500, "api_failed", "retry_at"),
        (503, "api_failed", "retry_at"),
    ],
)
async def test_each_refusal_of_the_api_has_its_code_and_leaves_the_module_alone(
    front: Front, station: Station, status: int, code: str, waits: str
) -> None:
    front.refuse(status)
    async with station.daemon() as running, station.module() as module:
        view = await running.held(code, waits)
        assert f"the API says {status}" in (view["hold"] or {}).get("message", "")
        assert view["milestone"] == "IDENTIFIED"
        assert untouched(module)


async def test_an_api_that_comes_back_is_asked_again_with_the_same_arguments(
    front: Front, station: Station, site: SiteApi
) -> None:
    front.refuse(500)
    async with station.daemon(clock=FastClock(FAST)) as running, station.module():
        await running.held("api_failed")
        front.failing = None
        await running.until(verified)
        assert front.asked >= 2
        assert len(await site.devices()) == 1


async def test_a_refused_token_stops_everything_until_it_is_replaced(front: Front, station: Station) -> None:
    other = "0F4D7A1BB1E24C6AA2A59CA8D3E7F310"
    station.pops[other] = "another label"
    right = station.token_file.read_text()
    station.token_file.write_text("a" * len(right.strip()))
    async with station.daemon(clock=FastClock(FAST)) as running, station.module():
        await running.held("api_unauthorized")
        paused = running.daemon.status()["paused"]
        assert paused is not None
        assert paused["code"] == "api_unauthorized"
        async with station.module(1, hardware_id=other, pop="another label") as module:
            await running.until(lambda view: view["endpoint"].endswith("ttyUCM1"))
            assert untouched(module)
            station.token_file.write_text(right)
            await running.until(lambda view: verified(view) and view["hardware_id"] == HARDWARE_ID)
            await running.until(lambda view: verified(view) and view["hardware_id"] == other)
            assert running.daemon.status()["paused"] is None


async def test_an_api_that_hangs_up_or_is_not_there_is_waited_for(front: Front, station: Station) -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    front.failing = hang_up
    async with station.daemon(clock=FastClock(FAST)) as running, station.module() as module:
        view = await running.held("api_unreachable", "retry_at")
        assert view["milestone"] == "IDENTIFIED"
        assert untouched(module)
        front.failing = None
        await running.until(verified)


async def test_an_answer_that_is_none_is_told_and_never_pushed(front: Front, station: Station) -> None:
    front.alter = lambda body: body.pop("config")
    async with station.daemon() as running, station.module() as module:
        await running.held("api_answer_invalid", "operator")
        assert untouched(module)


# ---- the broker ----------------------------------------------------------------------------------


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def checked(running: Running, module: SerialModule, code: str, waits: str) -> None:
    view = await running.held(code, waits)
    assert view["milestone"] == "PROVISIONED"
    assert "not touched" in (view["hold"] or {}).get("message", "")
    assert untouched(module)


async def test_a_broker_that_is_not_there_stops_the_push(station: Station) -> None:
    station.override["mqtt_port"] = str(closed_port())
    async with station.daemon() as running, station.module() as module:
        await checked(running, module, "broker_refused", "retry_at")


async def test_a_broker_name_that_does_not_resolve_stops_the_push(station: Station) -> None:
    station.override["mqtt_host"] = '"broker.invalid"'
    async with station.daemon() as running, station.module() as module:
        await checked(running, module, "broker_dns_failed", "retry_at")


async def test_refused_credentials_stop_the_push(front: Front, station: Station) -> None:
    def forget_the_password(body: dict[str, object]) -> None:
        credentials = body["config"]["mqtt_credentials"]  # type: ignore[index]
        credentials["password"] = "wrong"

    front.alter = forget_the_password
    station.protocol = "MQTT"
    async with station.daemon() as running, station.module() as module:
        await checked(running, module, "mqtt_not_authorized", "operator")


async def test_a_broker_of_another_authority_stops_the_push(front: Front, station: Station, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with SiteApi(site_settings(elsewhere)) as other:
        station.override["mqtt_port"] = str(other.mqtts_port)
        async with station.daemon() as running, station.module() as module:
            await checked(running, module, "broker_tls_untrusted", "operator")


async def test_a_time_source_that_does_not_answer_stops_the_push(station: Station) -> None:
    station.override["time_sync"] = f'{{ protocol = "HTTP", host = "127.0.0.1", port = {closed_port()} }}'
    async with station.daemon() as running, station.module() as module:
        await checked(running, module, "time_source_failed", "retry_at")
