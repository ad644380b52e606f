"""The control socket of `ucm-sim lan`, and `ucm-sim air` for people."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.sim.running import running
from tests.sim.test_lan_command import HERE, ports_of
from ucm_sim import Air, LanFleet, LanModule, LanSegment, Network, ScaledClock
from ucm_sim.air_command import air as air_command
from ucm_sim.control import Control, ControlError, ask, chosen
from ucm_sim.lan_command import lan


@pytest.fixture
async def fleet() -> AsyncIterator[LanFleet]:
    air = Air([Network("old-wifi", "battery staple"), Network("new-wifi", "correct horse", -75)])
    async with LanSegment(mdns=False) as segment:
        fleet = LanFleet(20, segment, seed="site", air=air, boot_s=0, clock=ScaledClock(20))
        async with fleet:
            await asyncio.gather(*(in_network(module, "old-wifi") for module in fleet.modules))
            yield fleet


@pytest.fixture
async def path(fleet: LanFleet, tmp_path: Path) -> AsyncIterator[Path]:
    path = tmp_path / "air.sock"
    async with Control(path, fleet):
        yield path


async def in_network(module: LanModule, ssid: str) -> None:
    await module.until(lambda module: module.ssid == ssid and module.is_listening == bool(ssid), timeout=8)


async def asked(path: Path, *requests: Mapping[str, object]) -> Any:
    """What the last of some requests is answered with."""
    return (await asyncio.to_thread(ask, path, requests))[-1]


async def command(path: Path, *arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, air_command, ["--control", str(path), *arguments])


# ---- the socket ----


async def test_only_its_owner_reaches_it_and_it_goes_with_the_process(fleet: LanFleet, tmp_path: Path) -> None:
    path = tmp_path / "air.sock"
    async with Control(path, fleet):
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


async def test_networks_without_their_passphrases(path: Path) -> None:
    old, new = await asked(path, {"do": "networks"})
    assert (old["ssid"], old["on"], old["rssi_dbm"], old["address"]) == ("old-wifi", True, -58, None)
    assert (new["ssid"], new["rssi_dbm"], new["hidden"]) == ("new-wifi", -75, False)
    assert "passphrase" not in old


async def test_an_access_point_goes_away_and_comes_back(path: Path, fleet: LanFleet) -> None:
    await asked(path, {"do": "off", "ssid": "old-wifi"})
    await asyncio.gather(*(in_network(module, "new-wifi") for module in fleet.modules))
    await asked(path, {"do": "off", "ssid": "new-wifi"}, {"do": "on", "ssid": "old-wifi"})
    await asyncio.gather(*(in_network(module, "old-wifi") for module in fleet.modules))


async def test_another_passphrase(path: Path, fleet: LanFleet) -> None:
    await asked(path, {"do": "passphrase", "ssid": "old-wifi", "passphrase": "tr0ub4dor"})
    await asyncio.gather(*(in_network(module, "new-wifi") for module in fleet.modules))


async def test_a_network_is_added(path: Path, fleet: LanFleet) -> None:
    await asked(path, {"do": "add", "ssid": "third", "passphrase": "x", "rssi_dbm": -33, "hidden": True})
    assert fleet.air["third"] == Network("third", "x", -33, hidden=True)


async def test_every_tenth_out_of_range(path: Path, fleet: LanFleet) -> None:
    assert await asked(path, {"do": "out-of-range", "ssid": "old-wifi", "modules": "1/10"}) == 2
    far = [fleet.modules[9], fleet.modules[19]]
    await asyncio.gather(*(in_network(module, "new-wifi") for module in far))
    facts = await asked(path, {"do": "modules"})
    assert [one["ssid"] for one in facts].count("old-wifi") == 18
    await asked(path, {"do": "off", "ssid": "new-wifi"}, {"do": "in-range", "ssid": "old-wifi"})
    await asyncio.gather(*(in_network(module, "old-wifi") for module in far))


async def test_facts_of_one_module(path: Path, fleet: LanFleet) -> None:
    module = fleet.modules[2]
    await asked(path, {"do": "rssi", "ssid": "old-wifi", "rssi_dbm": -85, "modules": "#3"})
    assert await asked(path, {"do": "modules", "modules": module.identity.hardware_id[:10].lower()}) == [
        {
            "id": module.identity.hardware_id,
            "powered": True,
            "state": "new",
            "phase": "IDLE",
            "reason": "NONE",
            "ssid": "old-wifi",
            "rssi_dbm": -85,
            "address": f"127.0.0.1:{module.port}",
            "listening": True,
            "generation": 0,
            "active": 0,
            "trial": 0,
            "boots": 1,
            "begins": 0,
            "commits": 0,
        }
    ]


async def test_power(path: Path, fleet: LanFleet) -> None:
    assert await asked(path, {"do": "power-off", "modules": "#1"}) == 1
    off = (await asked(path, {"do": "modules"}))[0]
    assert (off["powered"], off["listening"], off["ssid"]) == (False, False, "")
    await asked(path, {"do": "power-on"})
    await in_network(fleet.modules[0], "old-wifi")
    assert (fleet.modules[0].boots, fleet.modules[1].boots) == (2, 1)


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        ({"do": "explode"}, "unknown: 'explode'; known: networks, add, on"),
        ({"do": "off", "ssid": "plant-wlan"}, "no network 'plant-wlan'"),
        ({"do": "out-of-range", "ssid": "plant-wlan"}, "no network 'plant-wlan'"),
        ({"do": "modules", "modules": "#21"}, "no module is '#21'"),
        ({"do": "modules", "modules": ""}, "no module is ''"),
        ({"do": "add"}, "add wants an ssid"),
        ({"ssid": "x"}, "missing required field `do`"),
        ({"do": "off", "sssid": "x"}, "unknown field `sssid`"),
    ],
)
async def test_refusals(path: Path, request_: Mapping[str, object], complaint: str) -> None:
    with pytest.raises(ControlError, match=complaint.replace("?", "[?]")):
        await asked(path, request_)
    assert len(await asked(path, {"do": "networks"})) == 2


async def test_what_is_no_json_and_who_hangs_up(path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"off\n")
    assert "malformed" in json.loads(await reader.readline())["error"]
    writer.write(b"x" * 200_000 + b"\n")
    assert await reader.read() == b""
    writer.close()
    assert len(await asked(path, {"do": "networks"})) == 2


def test_who_is_meant() -> None:
    modules: list[Any] = list(range(25))
    assert chosen(modules, "all") == modules
    assert chosen(modules, "1/10") == [9, 19]
    assert chosen(modules, "1/100") == []
    assert chosen(modules, "#25") == [24]


# ---- ucm-sim air ----


async def test_commands(path: Path, fleet: LanFleet) -> None:
    for arguments in (
        ["add", "third", "a passphrase", "--rssi", "-44", "--hidden"],
        ["passphrase", "third", "another"],
        ["off", "third"],
        ["on", "third"],
    ):
        assert (await command(path, *arguments)).output == ""
    assert fleet.air["third"] == Network("third", "another", -44, hidden=True)
    assert (await command(path, "out-of-range", "third", "1/10")).output == "2 modules\n"
    assert (await command(path, "in-range", "third", "#10")).output == "1 module\n"
    assert (await command(path, "rssi", "third", "-85")).output == "20 modules\n"
    assert fleet.modules[0].radio.rssi_dbm("third") == -85
    assert (await command(path, "power-off", "#1")).output == "1 module\n"
    assert (await command(path, "power-on", "#1")).output == "1 module\n"
    shown = (await command(path, "networks")).output.splitlines()
    assert [json.loads(line)["ssid"] for line in shown] == ["old-wifi", "new-wifi", "third"]


async def test_modules_are_shown_and_counted(path: Path, fleet: LanFleet) -> None:
    lines = (await command(path, "modules")).output.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [one.hardware_id for one in fleet.identities]
    tally = json.loads((await command(path, "modules", "--tally")).output)
    assert tally == {"count": 20, "state": "new", "phase": "IDLE", "reason": "NONE", "ssid": "old-wifi"}


async def test_a_refusal_gets_a_sentence(path: Path, tmp_path: Path) -> None:
    refused = await command(path, "off", "plant-wlan")
    assert (refused.exit_code, refused.output) == (1, "Error: no network 'plant-wlan'\n")
    nobody = await command(tmp_path / "nothing.sock", "networks")
    assert nobody.exit_code == 1
    assert "No such file" in nobody.output


# ---- in a process of its own ----


async def test_ucm_sim_lan_with_a_control_socket(tmp_path: Path) -> None:
    path = tmp_path / "air.sock"
    networks = ["--network", "old=one", "--network", "new=two", "--segment", "new=127.0.0.9"]
    async with running("lan", "--no-mdns", "--rssi", -50, "--control", path, *networks, *HERE) as process:
        port, _ = await ports_of(process)
        assert [one["address"] for one in await asked(path, {"do": "networks"})] == [None, "127.0.0.9"]
        await asked(path, {"do": "off", "ssid": "old"})
        await process.says("listening at 127.0.0.9:")
        (module,) = await asked(path, {"do": "modules"})
        assert (module["ssid"], module["rssi_dbm"], module["address"]) == ("new", -50, f"127.0.0.9:{port}")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--segment", "no-address"], "--segment wants SSID=ADDRESS"),
        (["--network", "old=one", "--segment", "new=127.0.0.9"], "--segment: no network 'new'"),
    ],
)
def test_wrong_segments(arguments: list[str], sentence: str) -> None:
    answer = CliRunner().invoke(lan, arguments)
    assert answer.exit_code == 2
    assert sentence in answer.output


@pytest.mark.parametrize(("name", "sentence"), [("no/where.sock", "No such file"), ("x" * 120, "too long")])
def test_a_control_socket_that_cannot_be(tmp_path: Path, name: str, sentence: str) -> None:
    arguments = ["--address", "127.0.0.1", "--no-mdns", "--control", str(tmp_path / name)]
    answer = CliRunner().invoke(lan, arguments)
    assert answer.exit_code == 1
    assert sentence in answer.output
