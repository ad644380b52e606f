"""What the API tells of modules that speak through mosquitto."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from tests.mosquitto.clients import until
from tests.mosquitto.conftest import MosquittoPlant
from tests.mosquitto.harness import mosquitto_running, mosquitto_site
from tests.site.harness import Clock, Plant, new_hardware_id, plant_of
from ucm_site_api import SiteApi

pytestmark = pytest.mark.system


@pytest.mark.parametrize("protocol", ["MQTT", "MQTTS"])
async def test_connectivity_and_properties_follow_the_messages(
    plant: MosquittoPlant, clock: Clock, protocol: str
) -> None:
    own = new_hardware_id()
    answer = await plant.provision(own, protocol)
    view = await plant.device(answer["device_id"], "connectivity,properties")
    assert (view["connectivity"], view["properties"]) == ({"status": "UNKNOWN"}, {})
    async with plant.client(answer["config"]) as module:
        for kind, properties in (("register", {"config_generation": 3, "fw": "1"}), ("properties", {"fw": "2"})):
            await module.publish(f"v1/from/{own}/ucm/v1/{kind}", json.dumps({"timestamp": 1} | properties))
            await until_shown(plant, own, properties)
    view = await plant.device(answer["device_id"], "connectivity")
    assert view["connectivity"] == {"status": "ONLINE"}
    clock.offset = timedelta(seconds=61)
    assert (await plant.device(answer["device_id"], "connectivity"))["connectivity"] == {"status": "OFFLINE"}


async def until_shown(plant: Plant, hardware_id: str, properties: dict[str, object]) -> None:
    async def shown() -> bool:
        views = {view["communication"]["hardware_id"]: view for view in await plant.site.devices()}
        return bool(views[hardware_id]["properties"] == properties)

    await until(shown)


async def test_retained_messages_are_no_sign_of_life(tmp_path: Path) -> None:
    gone, here = new_hardware_id(), new_hardware_id()
    async with mosquitto_running(tmp_path) as (settings, _):
        async with SiteApi(settings) as site, plant_of(site, tmp_path) as plant:
            configs = [await plant.config(name) for name in (gone, here)]
        async with plant.client(configs[0]) as module:
            await module.publish(f"v1/from/{gone}/ucm/v1/register", b'{"a": 1}', qos=1, retain=True)
        async with SiteApi(settings) as site, plant_of(site, tmp_path) as plant:
            async with plant.client(configs[1]) as module:
                await module.publish(f"v1/from/{here}/ucm/v1/register", b'{"a": 2}', qos=1)
                await until_shown(plant, here, {"a": 2})
            views = {view["communication"]["hardware_id"]: view for view in await site.devices()}
            assert views[gone]["connectivity"] == {"status": "UNKNOWN"}
            assert views[gone]["properties"] == {}


async def test_site_has_what_an_embedded_one_has(tmp_path: Path) -> None:
    async with mosquitto_site(tmp_path, rotation_grace=timedelta(hours=1)) as site, plant_of(site, tmp_path) as plant:
        config = await plant.config(new_hardware_id())
        assert config["mqtt_port"] == site.mqtts_port
        async with plant.client(config), plant.client(plant.witness_config()):
            pass
