"""A real mosquitto beside a real site API, on free ports of the loopback."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.site.harness import connect_packet
from ucm_site_api import Mosquitto, Settings, SiteApi
from ucm_site_api.mosquitto.bootstrap import bootstrap, find_plugin
from ucm_site_api.mosquitto.files import MosquittoFiles

LOOPBACK = ("127.0.0.1", 0)
DEADLINE = 10.0

# Ports are free when they are chosen; somebody else may be faster than mosquitto.
_ATTEMPTS = 5


class MosquittoProcess:
    """One mosquitto that is started, stopped and started again with the same files."""

    def __init__(self, files: MosquittoFiles, port: int) -> None:
        self.files = files
        self._port = port
        self.log: list[str] = []
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> bool:
        """Whether it runs; it does not if a port is in use."""
        self._process = await asyncio.create_subprocess_exec(
            mosquitto_binary(), "-c", self.files.configuration, stderr=asyncio.subprocess.PIPE
        )
        running = asyncio.Event()
        self._reader = asyncio.create_task(self._read(running))
        async with asyncio.timeout(DEADLINE):
            await asyncio.wait(
                [self._reader, waiting := asyncio.create_task(running.wait())], return_when=asyncio.FIRST_COMPLETED
            )
            waiting.cancel()
            if running.is_set():
                await self._answer()
        return running.is_set()

    async def _answer(self) -> None:
        """It says that it runs a little before it does, and a signal in between is lost."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(connect_packet())
        await reader.read(4)
        writer.close()
        await writer.wait_closed()

    async def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        if self._process is None or self._reader is None:
            return
        if self._process.returncode is None:
            self._process.send_signal(by)
        async with asyncio.timeout(DEADLINE):
            await self._process.wait()
            await self._reader
        self._process = None

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def _read(self, running: asyncio.Event) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.log.append(line.decode().rstrip())
            if self.log[-1].endswith(" running"):
                running.set()


def mosquitto_binary() -> str:
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.fail("mosquitto is missing: apt-get install mosquitto")
    return found


def mosquitto_settings(folder: Path, **changes: Any) -> Settings:
    """Settings whose ports were free a moment ago."""
    mosquitto_binary()
    mqtt, mqtts = _free_ports(2)
    base = Settings(
        state=folder / "site-api",
        listen=LOOPBACK,
        mqtt_listen=("127.0.0.1", mqtt),
        mqtts_listen=("127.0.0.1", mqtts),
        public_host="127.0.0.1",
        broker=Mosquitto(),
        site_name="Demo plant",
    )
    return replace(base, **changes)


@asynccontextmanager
async def mosquitto_running(folder: Path, **changes: Any) -> AsyncIterator[tuple[Settings, MosquittoProcess]]:
    """A mosquitto that was set up in the folder, without a server."""
    async with AsyncExitStack() as stack:
        for _ in range(_ATTEMPTS):
            settings = mosquitto_settings(folder, **changes)
            process = MosquittoProcess(await bootstrap(settings, find_plugin()), settings.mqtt_listen[1])
            stack.push_async_callback(process.stop)
            if await process.start():
                break
        else:
            pytest.fail("mosquitto does not start:\n" + "\n".join(process.log))
        yield settings, process


@asynccontextmanager
async def mosquitto_site(tmp_path: Path, **settings: Any) -> AsyncIterator[SiteApi]:
    """A site API whose broker is a running mosquitto."""
    async with mosquitto_running(tmp_path, **settings) as (chosen, _), SiteApi(chosen) as site:
        yield site


def _free_ports(count: int) -> list[int]:
    """Outside the range that the kernel takes for outgoing connections: mosquitto must find them free again."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            ports.append(port)
    return ports
