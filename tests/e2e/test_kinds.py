"""Every kind of device: the daemon's side and the site API's meet."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.station import POP, Station, site_settings, station_at, ucmctl, verified
from ucm_sim import Attached, Identity, SerialModule
from ucm_site_api import SiteApi

UCM_ID = "C8795CBA5375484E829105E959663C8B"
MASTER_ID = "B3A77C0419D6E4F1C8D25A9047EE61B02"
SLAVE_ID = "435840FFE5CD4E9DA93545DDF7E6D5FB"
GATEWAY = (
    "gateway --hardware-id B27925CBA5375484E829105E959663C8B --gateway-version 3.0.0 --site-name Plant "
    "--timezone Europe/Berlin --latitude 52.52 --longitude 13.405 --config-file"
)


def module(station: Station, identity: Identity) -> SerialModule:
    station.pops[identity.hardware_id] = POP
    return SerialModule(
        identity, station.folder / f"{identity.hardware_id}.flash", station.folder / "ttyUCM0", baud=0, boot_s=0.05
    )


async def by_type(site: SiteApi) -> dict[str, Any]:
    return {device["type"]: device for device in await site.devices()}


@pytest.mark.parametrize("product", ["ELECTROLYSER", "DRYER", "WATER_TANK"])
async def test_an_embedded_device_goes_all_the_way(station: Station, site: SiteApi, product: str) -> None:
    identity = Identity(hardware_id="BCC415CBA5375484E829105E959663C8B", pop=POP, product=product, model="EL4.1")
    plugged = module(station, identity)
    async with station.daemon() as running, plugged:
        view = await running.until(verified)
    assert (view["product"], (view["evidence"] or {})["seen_generation"]) == (product, 1)
    assert (await by_type(site))["EMBEDDED_UCM"]["id"] == view["device_id"]


async def test_a_link_master_brings_its_slaves(station: Station, site: SiteApi) -> None:
    slaves = (Attached(SLAVE_ID, "ENP-AO6"),)
    identity = Identity(hardware_id=MASTER_ID, pop=POP, product="LINK_MASTER", model="LINK", attached=slaves)
    plugged = module(station, identity)
    async with station.daemon() as running, plugged:
        view = await running.until(verified)
        assert plugged.executed("begin") == 0  # nothing is pushed to it
    devices = await by_type(site)
    assert devices["LINK_MASTER_UCM"]["id"] == view["device_id"]
    assert devices["LINK_SLAVE_UCM"]["communication"]["hardware_id"] == SLAVE_ID


async def test_what_has_no_cable_is_added_by_hand(station: Station, site: SiteApi, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    async with station.daemon():
        for words in (
            f"ucm --hardware-id {UCM_ID} --name Boiler --protocol MQTT --config-file {config}",
            "vucm --name Pump",
            "standalone --name Weather --slug weather",
            f"link-master --hardware-id {MASTER_ID} --name LINK",
        ):
            status, said = await ucmctl(station.socket, "provision", *words.split())
            assert status == 0, said
        devices = await by_type(site)
        lua = f"lua-device --runtime {devices['HARDWARE_UCM']['id']} --blueprint 5c2e07f1 --name Gas"
        slave = f"link-slave --hardware-id {SLAVE_ID} --name AO6 --master {devices['LINK_MASTER_UCM']['id']}"
        for words in (lua, slave):
            status, said = await ucmctl(station.socket, "provision", *words.split())
            assert status == 0, said
        assert (await by_type(site)).keys() == {
            "HARDWARE_UCM",
            "VIRTUAL_UCM",
            "STANDALONE",
            "LINK_MASTER_UCM",
            "LUA",
            "LINK_SLAVE_UCM",
        }
        status, said = await ucmctl(station.socket, "provision", *GATEWAY.split(), str(tmp_path / "gateway.json"))
        assert (status, "API_REJECTED" in said, "cloud" in said.lower()) == (4, True, True)
    assert json.loads(config.read_text())["mqtt_credentials"]["protocol"] == "MQTT"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600


async def test_a_gateway_joins_a_cloud(tmp_path: Path) -> None:
    config = tmp_path / "gateway.json"
    async with SiteApi(site_settings(tmp_path, role="cloud")) as site:
        station = station_at(site, tmp_path)
        async with station.daemon():
            status, said = await ucmctl(station.socket, "provision", *GATEWAY.split(), str(config))
        assert status == 0, said
        assert (await by_type(site)).keys() == {"GATEWAY"}
    assert json.loads(config.read_text())["channel_id"] == "gw"


async def test_a_dead_module_is_replaced_under_the_same_name_and_slug(station: Station, site: SiteApi) -> None:
    old, new = UCM_ID, "0F4D7A1BB1E24C6AA2A59CA8D3E7F310"
    async with station.daemon() as running:
        async with module(station, Identity(hardware_id=old, pop=POP)):
            first = await running.until(verified)
        station.pops[new] = POP
    async with station.daemon() as running:
        status, said = await ucmctl(station.socket, "replace", old, new)
        assert status == 0, said
        async with module(station, Identity(hardware_id=new, pop=POP)):
            view = await running.until(lambda view: verified(view) and view["hardware_id"] == new)
    assert (view["name"], view["slug"]) == (first["name"], first["slug"])
    assert len(await site.devices()) == 2
