"""The box itself joins another Wi-Fi, NetworkManager says so on a real bus, and the modules of the site follow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.moving import (
    NEW,
    OLD,
    PATIENCE,
    Moving,
    campaign_of,
    commits,
    ended,
    moving,
    networks_of,
    until_campaign,
)
from tests.e2e.station import Station, ucmctl
from tests.mosquitto.harness import mosquitto_site
from tests.wire.network.bus import Bus, NetworkManager, network_manager, require_dbusmock, running
from ucm_provision.wire import CampaignView
from ucm_site_api import SiteApi

pytestmark = pytest.mark.system

FEW = 3


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[SiteApi]:
    """Instead of the embedded broker."""
    async with mosquitto_site(tmp_path) as site:
        yield site


@dataclass
class Box:
    """The box's own Wi-Fi."""

    manager: NetworkManager
    device: str
    active: str

    async def join(self, ssid: str) -> None:
        await self.manager.leave(self.device, self.active)
        self.active = await self.manager.join(self.device, ssid)


@pytest.fixture
async def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Box]:
    """It is on the modules' network, as the system's bus tells."""
    require_dbusmock()
    bus = Bus(tmp_path)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
    async with running(bus), network_manager(bus) as manager:
        device = await manager.add_device("wlan0")
        yield Box(manager, device, await manager.join(device, OLD))


def proposed(campaign: CampaignView) -> bool:
    return campaign["state"] == "proposed"


async def told(station: Station, ssid: str) -> None:
    """The daemon knows on which network the box is. Asks like an operator would, again and again."""
    async with asyncio.timeout(PATIENCE):
        while json.loads((await ucmctl(station.socket, "status", "--json"))[1])["box_wifi"] != ssid:
            pass


async def campaigns(station: Station) -> list[CampaignView]:
    _, said = await ucmctl(station.socket, "wifi", "campaigns", "--json")
    found: list[CampaignView] = json.loads(said)["campaigns"]
    return found


def all_there(move: Moving) -> bool:
    return networks_of(move.modules) == {(NEW, "ONLINE"): FEW}


async def test_a_change_is_proposed_and_begins_when_an_operator_says_so(station: Station, box: Box) -> None:
    async with moving(station, FEW) as move:
        await box.join(NEW)
        campaign = await until_campaign(station, proposed)
        assert (campaign["counts"], commits(move.modules)) == ({"pending": FEW}, [1] * FEW)
        assert move.running.daemon.status()["box_wifi"] == NEW
        status, campaign = await campaign_of(station, "resume")
        assert (status, campaign["state"], campaign["counts"]) == (0, "done", {"done": FEW})
        assert all_there(move)


async def test_where_the_policy_says_so_it_begins_by_itself(station: Station, box: Box) -> None:
    station.policy = 'wifi_follow = "auto"'
    async with moving(station, FEW) as move:
        await box.join(NEW)
        campaign = await until_campaign(station, ended)
        assert (campaign["state"], campaign["counts"]) == ("done", {"done": FEW})
        assert all_there(move)


async def test_a_network_that_the_site_does_not_know_moves_nobody(station: Station, box: Box) -> None:
    async with moving(station, FEW) as move:
        await box.join("a guest network")
        await told(station, "a guest network")
        await box.join(NEW)
        campaign = await until_campaign(station, proposed)
        assert (campaign["networks"][0], commits(move.modules)) == (NEW, [1] * FEW)
        assert len(await campaigns(station)) == 1
