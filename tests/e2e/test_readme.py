"""The README's commands, as a newcomer types them: separate processes, a fresh folder."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.e2e.station import BIN, DEADLINE, DaemonProcess, spawn

README = Path(__file__).parents[2] / "README.md"
SECRETS = ("kelp-otter-92", "correct horse battery")


def by_hand() -> str:
    """The shell blocks of the section that runs everything by hand."""
    section = README.read_text().partition("## The same by hand")[2].partition("\n## ")[0]
    return "".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL))


def commands(script: str) -> list[list[str]]:
    return [shlex.split(line.removesuffix("&")) for line in script.splitlines() if line.startswith("ucm")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def running(command: list[str], folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await spawn(*command, log=folder / f"{command[0]}.log", cwd=folder)
    try:
        yield process
    finally:
        process.terminate()
        async with asyncio.timeout(DEADLINE):
            assert await process.wait() == 0, (folder / f"{command[0]}.log").read_text()


async def prepare(script: str, folder: Path) -> None:
    """Runs what the block writes to files; the commands themselves are ours to start and end."""
    files = "\n".join(line for line in script.splitlines() if not line.startswith(("ucm", "while")))
    shell = await asyncio.create_subprocess_exec("sh", "-e", "-c", files, cwd=folder)
    assert await shell.wait() == 0


async def until_made(path: Path) -> None:
    """The README's own loop."""
    loop = f'while [ ! -e "{path}" ]; do sleep 0.05; done'
    async with asyncio.timeout(DEADLINE):
        assert await (await asyncio.create_subprocess_exec("sh", "-c", loop)).wait() == 0


async def test_the_commands_of_the_readme_verify_a_module(tmp_path: Path) -> None:
    script = by_hand().replace("8480", str(port := free_port()))
    site, daemon, module, *ctl = commands(script)
    site += ["--listen", f"127.0.0.1:{port}", "--mqtt-listen", "127.0.0.1:0", "--mqtts-listen", "127.0.0.1:0"]
    await prepare(script, tmp_path)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(site, tmp_path))
        await until_made(tmp_path / "site" / "witness.json")
        await stack.enter_async_context(running(module, tmp_path))
        process = await stack.enter_async_context(running(daemon, tmp_path))
        (view,) = await DaemonProcess(process, tmp_path / "control.sock").until_verified()
        assert view["evidence"] is not None
        # The sample points the time source at this box, which a real module could not reach.
        assert any("time source" in warning for warning in view["warnings"])
        for command in ctl:
            answer = await asyncio.create_subprocess_exec(BIN / command[0], *command[1:], stdout=-1, cwd=tmp_path)
            out, _ = await answer.communicate()
            assert answer.returncode == 0
            assert b"verified" in out or b"Verified" in out
    assert_no_secret(tmp_path)


def assert_no_secret(folder: Path) -> None:
    """Nothing that the processes said or journalled holds a secret."""
    token = (folder / "site" / "api-token").read_text().strip()
    written = [*folder.glob("*.log"), *(folder / "state").iterdir()]
    assert len(written) >= 4
    for path in written:
        said = path.read_bytes()
        for secret in (*SECRETS, token, "PRIVATE KEY"):
            assert secret.encode() not in said, f"{path.name} holds a secret"


async def test_the_daemon_says_what_is_wrong_with_its_configuration_and_does_not_start(tmp_path: Path) -> None:
    cases = {
        "[api]\ntoken_file = 5\n": "line 2, api.token_file: expected `str`, got `int`",
        "[usb]\nglobs = []\n\nbauds = 9600\n": "line 4, usb.bauds: unknown key",
        "[api]\n": "TOKEN_MISSING",
        '[api]\ntoken_file = "nowhere"\n': "TOKEN_MISSING",
    }
    for text, expected in cases.items():
        config = tmp_path / "ucm-provision.toml"
        config.write_text(f'{text}[state]\ndir = "{tmp_path}/state"\n')
        environment = {name: value for name, value in os.environ.items() if name != "CREDENTIALS_DIRECTORY"}
        process = await asyncio.create_subprocess_exec(
            BIN / "ucm-provisiond", "--config", config, stderr=asyncio.subprocess.PIPE, env=environment
        )
        _, error = await process.communicate()
        assert process.returncode == 78
        assert expected in error.decode()
        assert "Traceback" not in error.decode()
