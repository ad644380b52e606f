"""A site in network namespaces: the box with daemon and API, and machines with modules, each on a cable of its own."""

from __future__ import annotations

import asyncio
import csv
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.station import BIN, DEADLINE, PASSPHRASE, REPOSITORY, SSID, DaemonProcess, Station
from tests.netns import Namespace, cable

API_PORT = 8480
MODULE_PORT = 8080


@dataclass(frozen=True)
class Machine:
    """A namespace on a cable of its own to the box, on network ``number``."""

    namespace: Namespace
    box: Namespace
    number: int

    @property
    def interface(self) -> str:
        """The box's end of the cable."""
        return f"lan{self.number}"

    @property
    def address(self) -> str:
        return f"10.77.{self.number}.2"

    def connect(self) -> None:
        """Lays the cable, up on this side only, and finds the way to the box's other addresses."""
        cable(self.box, self.interface, self.namespace, "lan")
        self.box.ip("address", "add", f"10.77.{self.number}.1/24", "dev", self.interface)
        self.namespace.ip("address", "add", f"{self.address}/24", "dev", "lan")
        self.namespace.ip("link", "set", "lan", "up")
        self.namespace.ip("route", "add", "default", "via", f"10.77.{self.number}.1")

    def come_up(self) -> None:
        self.box.ip("link", "set", self.interface, "up")

    @asynccontextmanager
    async def modules(self, folder: Path, *arguments: str) -> AsyncIterator[dict[str, str]]:
        """``ucm-sim lan`` runs here. The proofs of possession of its modules, by their ids."""
        manifest = folder / f"modules-{self.number}.csv"
        command = ["lan", "--manifest", str(manifest), "--seed", manifest.name, "--network", f"{SSID}={PASSPHRASE}"]
        async with running(self.namespace, folder, "ucm-sim", *command, *arguments) as process:
            await written(manifest, process)
            yield _pops(manifest)


@asynccontextmanager
async def running(
    namespace: Namespace, folder: Path, name: str, *arguments: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """One of our commands in the namespace, with a log of its own in the folder."""
    with _log(folder / f"{name}-{namespace.name}.log") as log:
        async with namespace.running(str(BIN / name), *arguments, stdout=log, stderr=log) as process:
            yield process


@asynccontextmanager
async def site(box: Namespace, folder: Path) -> AsyncIterator[Station]:
    """The site API and its broker on the box, and the station of a daemon there that looks at every network."""
    state, host = folder / "site", "10.77.0.1"
    box.ip("address", "add", f"{host}/32", "dev", "lo")
    listen = [f"--{name}=0.0.0.0:{port}" for name, port in (("listen", API_PORT), ("mqtts-listen", 8883))]
    command = ["serve", "--state", str(state), *listen, "--public-host", host]
    async with running(box, folder, "ucm-site-api", *command) as process:
        await written(state / "witness.json", process)
        time_sync = f'{{ protocol = "HTTP", host = "{host}", port = {API_PORT} }}'
        api_url, token, witness = f"http://127.0.0.1:{API_PORT}", state / "api-token", state / "witness.json"
        yield Station(folder, api_url, token, witness, {"time_sync": time_sync}, pops={}, lan="mdns = true")


@asynccontextmanager
async def daemon(box: Namespace, station: Station) -> AsyncIterator[DaemonProcess]:
    arguments = ("--config", str(station.configure()))
    async with running(box, station.folder, "ucm-provisiond", *arguments) as process:
        yield DaemonProcess(process, station.socket)


@asynccontextmanager
async def flood(box: Namespace, count: int, rate: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """So many modules that nobody has announce themselves on the box's loopback, so many a second."""
    command = ("env", f"PYTHONPATH={REPOSITORY}", sys.executable, "-m", "tests.wire.mdns.flood_process")
    async with box.running(*command, "127.0.0.1", str(count), str(rate)) as process:
        yield process


async def written(file: Path, by: asyncio.subprocess.Process) -> None:
    """Waits until a process has written its file, which it does in one go."""
    async with asyncio.timeout(DEADLINE):
        while not await asyncio.to_thread(file.exists):
            assert by.returncode is None, f"it ended with {by.returncode}"


def _pops(manifest: Path) -> dict[str, str]:
    with manifest.open(newline="") as file:
        return {line["hardware_id"]: line["pop"] for line in csv.DictReader(file)}


@contextmanager
def _log(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
