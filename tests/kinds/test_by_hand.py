"""The API's eight calls by hand: one device whatever happens, and no secret anywhere but in the operator's file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.station import FastClock, Station, ucmctl
from tests.kinds.asking import ended, orders
from tests.kinds.platform import SITE_ID, Platform

HARDWARE_ID = "C8795CBA5375484E829105E959663C8B"
PASSWORD = "correct-horse"  # in the platform's configurations
GATEWAY = (
    "gateway --hardware-id B27925CBA5375484E829105E959663C8B --gateway-version 3.0.0 --site-name Plant "
    "--timezone Europe/Berlin --latitude 52.52 --longitude 13.405 --config-file config.json"
)
MASTER = "02618484-5c16-4159-998a-ef4acc16666c"
COMMANDS = {
    "ucm": f"ucm --hardware-id {HARDWARE_ID} --name Boiler --protocol MQTT --config-file config.json",
    "vucm": "vucm --name Pump",
    "embedded": f"embedded --type DRYER --hardware-id {HARDWARE_ID} --name Dryer --protocol MQTT",
    "link_master": f"link-master --hardware-id {HARDWARE_ID} --name LINK",
    "link_slave": f"link-slave --hardware-id {HARDWARE_ID} --name AO6 --master {MASTER}",
    "standalone": "standalone --name Wetterstation",
    "lua_device": "lua-device --runtime runtime-1 --blueprint blueprint-1 --name Gas",
    "gateway": GATEWAY,
}


async def provision(box: Station, command: str, *more: str) -> tuple[int, str]:
    words = [str(box.folder / word) if word == "config.json" else word for word in command.split()]
    return await ucmctl(box.socket, "provision", *words, *more)


def everything_kept(box: Station) -> bytes:
    return b"".join(path.read_bytes() for path in (box.folder / "state").iterdir())


@pytest.mark.parametrize("kind", COMMANDS)
async def test_each_call_adds_its_device(box: Station, platform: Platform, kind: str) -> None:
    async with box.daemon():
        status, said = await provision(box, COMMANDS[kind])
    assert (status, PASSWORD in said) == (0, False), said
    (device,) = platform.devices.values()
    assert (device["type"], len(platform.calls(kind))) == (kind, 1)
    assert device["id"] in said
    assert device["asked"].get("site_id", SITE_ID) == SITE_ID


@pytest.mark.parametrize("fault", ["lost", "unheard"])
@pytest.mark.parametrize("kind", COMMANDS)
async def test_one_device_although_the_answer_got_lost(box: Station, platform: Platform, kind: str, fault: str) -> None:
    getattr(platform, fault)[kind] = 1
    async with box.daemon(clock=FastClock(50.0)):
        status, said = await provision(box, COMMANDS[kind])
        assert (status, "API_UNREACHABLE" in said, "ORDER_OPEN" in said) == (5, True, True)
        order = await ended(box)
    (device,) = platform.devices.values()
    assert (order["state"], order["device_id"]) == ("done", device["id"])
    # Where a slug tells that the device was added, nothing is asked twice.
    again = kind not in {"standalone", "lua_device"} or fault == "unheard"
    assert len(platform.calls(kind)) == (2 if again else 1)
    first, *rest = platform.calls(kind)
    assert all(body == first for body in rest)


REFUSALS = {
    "lua_device": (422, "unprocessable_entity", "A Lua device cannot be reprovisioned."),
    "vucm": (422, "unprocessable_entity", "A virtual UCM can be added only on a Gateway 3."),
    "link_master": (422, "unprocessable_entity", "LINK only on a Gateway 3."),
    "gateway": (422, "unprocessable_entity", "A Gateway can be added only to the Cloud."),
    "ucm": (409, "already_exists", "The hardware id is on another site."),
}


@pytest.mark.parametrize("kind", REFUSALS)
async def test_what_the_api_refuses_is_told_in_its_own_words(box: Station, platform: Platform, kind: str) -> None:
    platform.refused[kind] = REFUSALS[kind]
    async with box.daemon():
        status, said = await provision(box, COMMANDS[kind])
        (order,) = await orders(box)
    assert (status, order["state"]) == (4, "refused")
    assert REFUSALS[kind][2] in said
    assert not (box.folder / "config.json").exists()
    assert len(platform.calls(kind)) == 1


@pytest.mark.parametrize("kind", ["ucm", "gateway"])
async def test_a_configuration_goes_to_the_operator_s_file_and_nowhere_else(
    box: Station, platform: Platform, kind: str
) -> None:
    path = box.folder / "config.json"
    path.write_text("an older one, readable by all")
    async with box.daemon_process() as daemon:
        await until_answering(box)
        status, said = await provision(box, COMMANDS[kind], "--json")
        assert status == 0, said
        await daemon.stop()
    config = json.loads(path.read_text())
    assert config["mqtt_credentials"]["password"] == PASSWORD
    assert path.stat().st_mode & 0o777 == 0o600
    kept = everything_kept(box) + (box.folder / "daemon.log").read_bytes() + said.encode()
    assert PASSWORD.encode() not in kept
    assert [entry.name for entry in box.folder.glob(".*.new")] == []


async def until_answering(box: Station) -> None:
    async with asyncio.timeout(20):
        while (await ucmctl(box.socket, "status"))[0]:
            pass


async def test_a_gateway_s_configuration_needs_a_file(box: Station, platform: Platform) -> None:
    async with box.daemon():
        status, said = await provision(box, GATEWAY.partition(" --config-file")[0])
        assert (status, "--config-file" in said) == (2, True)
        status, said = await provision(box, GATEWAY.replace("config.json", "/nowhere/config.json"))
        assert (status, "No such file" in said) == (1, True)
    assert platform.asked == []


async def test_the_same_command_again_gives_the_same_device_with_fresh_credentials(
    box: Station, platform: Platform
) -> None:
    async with box.daemon():
        for _ in range(2):
            assert (await provision(box, COMMANDS["ucm"]))[0] == 0
        assert len({order["device_id"] for order in await orders(box)}) == 1
    assert len(platform.calls("ucm")) == 2


async def test_the_same_command_hurries_an_open_order_instead_of_making_another(
    box: Station, platform: Platform
) -> None:
    platform.unheard["standalone"] = 1
    async with box.daemon():
        assert (await provision(box, COMMANDS["standalone"]))[0] == 5
        status, said = await provision(box, COMMANDS["standalone"])
        assert status == 0, said
        assert len(await orders(box)) == 1
    assert len(platform.devices) == 1


async def test_a_slug_that_somebody_has_is_not_taken_away(box: Station, platform: Platform) -> None:
    async with box.daemon():
        assert (await provision(box, COMMANDS["standalone"], "--slug", "weather"))[0] == 0
        status, said = await provision(box, COMMANDS["standalone"], "--slug", "weather")
    assert (status, "SLUG_TAKEN" in said) == (4, True)
    assert len(platform.calls("standalone")) == 1


async def test_a_call_that_the_api_carries_out_late_is_recognised(box: Station, platform: Platform) -> None:
    """It was given up, looked for in vain, asked for again, and then refused because the first got through."""
    platform.unheard["standalone"] = 1
    async with box.daemon(clock=FastClock(1.0)):
        assert (await provision(box, COMMANDS["standalone"], "--slug", "weather"))[0] == 5
        (late,) = platform.calls("standalone")
        platform.refused["standalone"] = (422, "unprocessable_entity", "the slug is taken")
        carried_out = asyncio.Event()
        platform.arrived["look-up"] = carried_out
        retry = asyncio.ensure_future(provision(box, COMMANDS["standalone"], "--slug", "weather"))
        await carried_out.wait()
        platform._add("standalone", late)
        status, said = await retry
    assert status == 0, said
    assert len(platform.devices) == 1


async def test_an_open_order_is_cancelled(box: Station, platform: Platform) -> None:
    platform.unheard["vucm"] = 99
    async with box.daemon():
        await provision(box, COMMANDS["vucm"])
        (order,) = await orders(box)
        _, said = await ucmctl(box.socket, "status")
        assert "1 open" in said
        status, said = await ucmctl(box.socket, "orders", "--cancel", order["id"])
        assert (status, "cancelled" in said) == (0, True)
        status, said = await ucmctl(box.socket, "orders", "--cancel", order["id"])
        assert (status, "ORDER_ENDED" in said) == (1, True)
        status, said = await ucmctl(box.socket, "orders", "--cancel", "nothing")
        assert (status, "ORDER_UNKNOWN" in said) == (3, True)


async def test_a_call_under_way_is_cancelled(box: Station, platform: Platform) -> None:
    platform.slow["vucm"], platform.arrived["vucm"] = asyncio.Event(), asyncio.Event()
    async with box.daemon():
        waiting = asyncio.ensure_future(provision(box, COMMANDS["vucm"]))
        await platform.arrived["vucm"].wait()
        (order,) = await orders(box)
        assert (await ucmctl(box.socket, "orders", "--cancel", order["id"]))[0] == 0
        status, said = await waiting
    assert (status, "was cancelled" in said) == (1, True)


async def test_a_refused_token_pauses_the_order_and_a_good_one_lets_it_go_on(box: Station, platform: Platform) -> None:
    platform.refused["vucm"] = (401, "invalid_header", "Authentication token is invalid.")
    async with box.daemon(clock=FastClock(100.0)):
        status, said = await provision(box, COMMANDS["vucm"])
        assert (status, "API_UNAUTHORIZED" in said) == (5, True)
        _, glance = await ucmctl(box.socket, "status")
        assert "PAUSED" in glance
        platform.refused.clear()
        assert (await ended(box))["state"] == "done"
    assert len(platform.devices) == 1


async def test_a_master_may_be_called_what_it_is_called(box: Station, platform: Platform) -> None:
    async with box.daemon():
        await provision(box, f"link-slave --hardware-id {HARDWARE_ID} --name AO6 --master", "LINK 1")
    (body,) = platform.calls("link_slave")
    assert body["master_device_id"] == "LINK 1"  # nothing here is called so: the API may know better


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"kind": "toaster"}, "kind"),
        ({"kind": "ucm", "name": "Boiler"}, "ucm needs hardware_id"),
        ({"kind": "vucm", "name": "Pump", "slug": "pump"}, "vucm takes no slug"),
        ({"kind": "ucm", "name": "Boiler", "hardware_id": "short"}, "32 or 33"),
        ({"kind": "gateway", "hardware_id": HARDWARE_ID}, "gateway needs config, gateway"),
        ({"kind": "vucm", "name": "P" * 5000}, "more than 4096 bytes"),
        ({"kind": "standalone", "name": "W", "slug": "a/b"}, "slug"),
    ],
    ids=str,
)
async def test_what_cannot_be_asked(box: Station, platform: Platform, body: dict[str, Any], complaint: str) -> None:
    from ucm_provision.cli.client import ControlClient, DaemonError

    async with box.daemon():
        client = ControlClient(str(box.socket))
        with pytest.raises(DaemonError, match=complaint) as refused:
            await asyncio.to_thread(client.post, "provision", body=body)
    assert str(refused.value).startswith("REQUEST_INVALID")
    assert platform.asked == []


async def test_an_order_survives_the_daemon(box: Station, platform: Platform) -> None:
    platform.lost["vucm"] = 1
    async with box.daemon():
        assert (await provision(box, COMMANDS["vucm"]))[0] == 5
    async with box.daemon(clock=FastClock(50.0)):
        order = await ended(box)
    (device,) = platform.devices.values()
    assert (order["state"], order["device_id"]) == ("done", device["id"])
    first, second = platform.calls("vucm")
    assert first == second
    assert first["hardware_id"].startswith("V")
    assert len(first["hardware_id"]) == 33


def test_the_help_says_what_to_do_when_an_answer_is_lost() -> None:
    from click.testing import CliRunner

    from ucm_provision.cli.main import ucmctl as command

    said = CliRunner().invoke(command, ["provision", "--help"], terminal_width=200).output
    assert "fresh credentials" in said
    assert all(name.replace("_", "-") in said for name in COMMANDS)


async def test_the_site_is_fixed_with_the_order(box: Station, platform: Platform, tmp_path: Path) -> None:
    async with box.daemon():
        await provision(box, COMMANDS["vucm"], "--site", "site-9")
        await provision(box, "standalone --name Other")
    assert platform.calls("vucm")[0]["site_id"] == "site-9"
    assert platform.calls("standalone")[0]["site_id"] == SITE_ID
