"""What `broker bootstrap` writes, and what its command prints works as printed."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import stat
from pathlib import Path

import pytest

from tests.mosquitto.harness import mosquitto_binary, mosquitto_running, mosquitto_settings
from tests.site.harness import settings_in
from tests.site.test_command_line import run, start
from ucm_site_api import ConfigurationError, Mosquitto, SiteApi, SiteStartError
from ucm_site_api.mosquitto.bootstrap import bootstrap, find_plugin
from ucm_site_api.mosquitto.reload import ReloadError, reload_by_command

pytestmark = pytest.mark.system


async def test_files_are_private_and_keep_no_password_in_clear(tmp_path: Path) -> None:
    files = await bootstrap(mosquitto_settings(tmp_path), find_plugin())
    assert stat.S_IMODE(files.folder.stat().st_mode) == 0o700
    for file in files.folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    clients = files.clients.read_text()
    witness = json.loads(files.password_witness.read_text())
    assert witness.keys() == {"mqtt_host", "mqtt_port", "mqtt_protocol", "mqtt_credentials"}
    for secret in (files.control_password.read_text().strip(), witness["mqtt_credentials"]["password"]):
        assert len(secret) == 64
        assert secret not in clients


async def test_done_again_it_keeps_clients_and_follows_the_address(tmp_path: Path) -> None:
    files = await bootstrap(mosquitto_settings(tmp_path), find_plugin())
    kept = [file.read_bytes() for file in (files.clients, files.control_password, tmp_path / "site-api" / "ca.crt")]
    witness = json.loads(files.password_witness.read_text())
    moved = mosquitto_settings(tmp_path, public_host="plant.example")
    assert await bootstrap(moved, find_plugin()) == files
    again = [file.read_bytes() for file in (files.clients, files.control_password, tmp_path / "site-api" / "ca.crt")]
    assert again == kept
    expected = witness | {"mqtt_host": "plant.example", "mqtt_port": moved.mqtt_listen[1]}
    assert json.loads(files.password_witness.read_text()) == expected
    assert f"listener {moved.mqtt_listen[1]} 127.0.0.1" in files.configuration.read_text()


async def test_not_beside_a_running_server(tmp_path: Path) -> None:
    async with mosquitto_running(tmp_path) as (settings, _), SiteApi(settings):
        with pytest.raises(SiteStartError, match="Another ucm-site-api"):
            await bootstrap(settings, find_plugin())


def test_mosquittos_ports_have_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="mqtt-listen"):
        settings_in(tmp_path, broker=Mosquitto())


async def test_commands_work_as_they_are_printed(tmp_path: Path) -> None:
    settings = mosquitto_settings(tmp_path)
    addresses = [
        f"--mqtt-listen=127.0.0.1:{settings.mqtt_listen[1]}",
        f"--mqtts-listen=127.0.0.1:{settings.mqtts_listen[1]}",
    ]
    code, out, err = await run("broker", "bootstrap", f"--state={tmp_path / 'state'}", *addresses)
    assert (code, err) == (0, "")
    (broker,) = re.findall("start the broker +(.*)", out)
    (server,) = re.findall("then the server +ucm-site-api (.*)", out)
    assert shlex.split(broker)[0] == "mosquitto"
    mosquitto = await asyncio.create_subprocess_exec(mosquitto_binary(), *shlex.split(broker)[1:], stderr=-3)
    serving = await start(*shlex.split(server), "--listen=127.0.0.1:0", "--broker-reload=true")
    try:
        assert serving.stdout is not None
        async with asyncio.timeout(20):
            shown = (await serving.stdout.readuntil(b"ready")).decode()
        assert f"127.0.0.1:{settings.mqtts_listen[1]}" in shown
    finally:
        for process in (serving, mosquitto):
            process.terminate()
            await process.communicate()
    assert serving.returncode == 0


async def test_server_with_another_broker_says_what_is_missing(tmp_path: Path) -> None:
    code, _, err = await run("serve", f"--state={tmp_path / 'state'}", "--broker=mosquitto", "--listen=127.0.0.1:0")
    assert code == 1
    assert "broker bootstrap" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("command", "reason"),
    [(("false",), "ended with status 1"), (("/nowhere",), "cannot be started"), (("sleep", "60"), "took longer")],
)
async def test_reload_command_that_fails_is_told(
    command: tuple[str, ...], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ucm_site_api.mosquitto.reload._SECONDS", 0.3)
    with pytest.raises(ReloadError, match=reason):
        await reload_by_command(command)()


async def test_reload_command_that_works(tmp_path: Path) -> None:
    told = tmp_path / "told"
    await reload_by_command(("touch", str(told)))()
    assert told.exists()
