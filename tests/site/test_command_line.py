"""`ucm-site-api` as a process."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

DEADLINE = 20.0
LOOPBACK = [f"--{name}=127.0.0.1:0" for name in ("listen", "mqtt-listen", "mqtts-listen")]


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ucm_site_api.main",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONWARNINGS": "error"},
    )


async def run(*arguments: str) -> tuple[int | None, str, str]:
    process = await start(*arguments)
    async with asyncio.timeout(DEADLINE):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def serving(state: Path, *arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    process = await start("serve", "--state", str(state), *LOOPBACK, *arguments)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE):
            shown = (await process.stdout.readuntil(b"ready")).decode()
        yield process, shown
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_serves_until_it_is_told_to_stop(tmp_path: Path, stop: signal.Signals) -> None:
    async with serving(tmp_path / "state") as (process, shown):
        url = re.search(r"http://127.0.0.1:\d+/v3", shown)
        assert url is not None
        token = (tmp_path / "state" / "api-token").read_text().strip()
        async with aiohttp.ClientSession(headers={"X-Enapter-Auth-Token": token}) as http:
            async with http.get(f"{url[0]}/site") as response:
                assert (await response.json())["site"]["name"] == "Site"
            process.send_signal(stop)
            async with asyncio.timeout(DEADLINE):
                out, err = await process.communicate()
        assert process.returncode == 0
        assert err == b""
        assert str(tmp_path / "state" / "witness.json") in shown
        for secret in (token, "PRIVATE KEY"):
            assert secret not in shown + out.decode()


async def test_token_made_beside_a_running_server_is_accepted(tmp_path: Path) -> None:
    async with serving(tmp_path / "state") as (_, shown):
        code, out, _ = await run("token", "create", "--state", str(tmp_path / "state"), "--role", "user")
        assert code == 0
        url = re.findall(r"http://\S+/v3", shown)[0]
        async with (
            aiohttp.ClientSession(headers={"X-Enapter-Auth-Token": out.strip()}) as http,
            http.get(f"{url}/site") as response,
        ):
            assert json.loads(await response.read())["site"]["authorized_role"] == "USER"


async def test_options_reach_the_modules(tmp_path: Path) -> None:
    options = ["--time-sync=ntp://10.0.0.1", "--public-host=plant.example", "--rotation-grace=2d", "--key=rsa"]
    async with serving(tmp_path / "state", *options) as (_, shown):
        assert "ntp://10.0.0.1:123" in shown
        assert re.search(r"plant\.example:\d+", shown)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--listen=nowhere"], 78),
        (["--listen=127.0.0.1:99999"], 78),
        (["--time-sync=ftp://x"], 78),
        (["--rotation-grace=soon"], 78),
        (["--site-timezone=Mars/Olympus"], 78),
        (["--mqtts-listen=0.0.0.0:0"], 78),
        (["--listen=192.0.2.1:0"], 1),
        (["--key=dsa"], 2),
    ],
)
async def test_what_cannot_work_is_one_sentence(tmp_path: Path, arguments: list[str], code: int) -> None:
    returned, out, err = await run("serve", "--state", str(tmp_path / "state"), *LOOPBACK, *arguments)
    assert returned == code
    assert out == ""
    assert err.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in err


WITHOUT_AMQTT = "import sys; sys.modules['amqtt'] = None; from ucm_site_api.main import main; main()"


def without_amqtt(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line where the extra `site` is not installed."""
    command = [sys.executable, "-c", WITHOUT_AMQTT, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE)


def test_embedded_broker_that_is_not_installed_is_one_sentence(tmp_path: Path) -> None:
    ended = without_amqtt("serve", "--state", str(tmp_path / "state"), *LOOPBACK)
    assert (ended.returncode, ended.stdout) == (78, "")
    assert ended.stderr == (
        "Error: The embedded broker is not installed: pip install 'ucm-provisiond[site]', or take --broker mosquitto.\n"
    )
    assert not (tmp_path / "state").exists()


async def test_other_commands_need_no_embedded_broker(tmp_path: Path) -> None:
    async with serving(tmp_path / "state"):
        listed = await asyncio.to_thread(without_amqtt, "token", "list", "--state", str(tmp_path / "state"))
    assert listed.returncode == 0
    assert "installer" in listed.stdout


async def test_token_needs_a_registry(tmp_path: Path) -> None:
    code, out, err = await run("token", "create", "--state", str(tmp_path / "none"))
    assert (code, out) == (1, "")
    assert "start the server once" in err
    assert not (tmp_path / "none").exists()


def test_tracebacks_in_the_log_show_no_values(capfd: pytest.CaptureFixture[str]) -> None:
    program = (
        "import structlog; from ucm_site_api.main import configure_logging; configure_logging()\n"
        "def fail(private_key): raise RuntimeError('why')\n"
        "try: fail('-----BEGIN ' + 'SECRET-----')\n"
        "except RuntimeError: structlog.get_logger().exception('call failed')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=DEADLINE)
    err = capfd.readouterr().err
    assert "RuntimeError: why" in err
    assert "BEGIN SECRET" not in err


@pytest.mark.parametrize("command", [["serve"], ["token", "create"], ["broker", "bootstrap"]])
async def test_help_has_an_example(command: list[str]) -> None:
    code, out, _ = await run(*command, "--help")
    assert code == 0
    assert f"ucm-site-api {' '.join(command)} --state" in out
