"""A station for end-to-end tests: a real site API and broker, simulated modules on real terminals, a real daemon."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ucm_provision import app
from ucm_provision.app import Daemon
from ucm_provision.core.model import ProofOfPossession
from ucm_provision.core.secret import Secret
from ucm_provision.host import config
from ucm_provision.link.timing import Timing
from ucm_provision.wire import ModuleView
from ucm_sim import Identity, SerialModule
from ucm_site_api import Settings, SiteApi

LOOPBACK = ("127.0.0.1", 0)
SSID, PASSPHRASE = "plant-wifi", "correct horse battery"
HARDWARE_ID = "C8795CBA5375484E829105E959663C8B"
POP = "label-7f3a-9c21"
DEADLINE = 30.0
BIN = Path(sys.executable).parent
REPOSITORY = Path(__file__).parents[2]

# A port that does not answer is given up after moments; everything else keeps its product's time.
IMPATIENT = Timing(first_answer=0.6, first_answer_resend=0.2, handshake=3.0, call=1.0, commit=3.0)


class FastClock:
    """The daemon's clock, ``factor`` times as fast: back-offs and trials pass while a test looks on."""

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._start = time.time()

    def now(self) -> float:
        return self._start + (time.time() - self._start) * self._factor

    def monotonic(self) -> float:
        return time.monotonic() * self._factor

    def synchronized(self) -> bool:
        return False

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._factor)


@dataclass
class Station:
    """One folder with everything that an engineer would have set up on a box."""

    folder: Path
    api_url: str
    token_file: Path
    witness: Path | None = None
    override: dict[str, str] = field(default_factory=dict)
    pops: dict[str, str] = field(default_factory=lambda: {HARDWARE_ID: POP})
    protocols: dict[str, str] = field(default_factory=dict)
    protocol: str = "MQTTS"
    trial_s: int = 120
    lan: str = "mdns = false"
    link: str = ""
    policy: str = ""
    more: str = ""
    web: str = ""
    box_id: str = "box-under-test"

    @property
    def socket(self) -> Path:
        return self.folder / "control.sock"

    def configure(self) -> Path:
        """Writes configuration and manifest; returns the configuration file."""
        lines = [f"{each},,{self.protocols.get(each, '')},{pop}" for each, pop in self.pops.items()]
        (self.folder / "manifest.csv").write_text("\n".join(["hardware_id,name,protocol,pop", *lines, ""]))
        (self.folder / "passphrase").write_text(PASSPHRASE)
        override = "\n".join(f"{key} = {value}" for key, value in self.override.items())
        witness = f'witness = "{self.witness}"' if self.witness else ""
        path = self.folder / "ucm-provision.toml"
        path.write_text(
            f'[site]\nmanifest = "manifest.csv"\n[box]\nid = "{self.box_id}"\n'
            f'[api]\nurl = "{self.api_url}"\ntoken_file = "{self.token_file}"\n[broker]\n{witness}\n'
            f'[usb]\nudev = false\nglobs = ["ttyUCM*"]\n[lan]\n{self.lan}\n'
            f'[link]\n{self.link}\n[[wifi]]\nssid = "{SSID}"\npassphrase_file = "passphrase"\n'
            f'[policy]\nprotocol = "{self.protocol}"\ntrial_s = {self.trial_s}\n{self.policy}\n[override]\n{override}\n'
            f'[control]\nsocket = "control.sock"\n[web]\n{self.web}\n[state]\ndir = "state"\n{self.more}\n'
        )
        return path

    def known_proof(self) -> ProofOfPossession:
        return ProofOfPossession(Secret(self.pops[HARDWARE_ID]))

    def module(self, number: int = 0, **options: Any) -> SerialModule:
        """A simulated module, not yet powered, at the true speed of the wire unless told otherwise."""
        own = {name: options.pop(name) for name in ("product", "model", "attached") if name in options}
        identity = Identity(options.pop("hardware_id", HARDWARE_ID), options.pop("pop", POP), **own)
        networks: Mapping[str, str] = options.pop("networks", {SSID: PASSPHRASE})
        return SerialModule(
            identity,
            state_file=self.folder / f"module-{identity.hardware_id}.flash",
            link=self.folder / f"ttyUCM{number}",
            networks=networks,
            **options,
        )

    @asynccontextmanager
    async def daemon(self, *, clock: FastClock | None = None, timing: Timing | None = None) -> AsyncIterator[Running]:
        """A daemon in this process."""
        settings = config.load(self.configure())
        async with app.start(settings, clock=clock, timing=timing) as daemon, asyncio.TaskGroup() as group:
            task = group.create_task(daemon.run())
            try:
                yield Running(daemon)
            finally:
                task.cancel()

    @asynccontextmanager
    async def daemon_process(self) -> AsyncIterator[DaemonProcess]:
        """A daemon in a process of its own, as installed."""
        process = await spawn("ucm-provisiond", "--config", str(self.configure()), log=self.folder / "daemon.log")
        running = DaemonProcess(process, self.socket)
        try:
            yield running
        finally:
            await running.stop()


@dataclass
class Running:
    daemon: Daemon

    def views(self) -> list[ModuleView]:
        return self.daemon.record.views()

    async def until(self, condition: Callable[[ModuleView], bool]) -> ModuleView:
        """The first view, present or to come, that meets the condition."""
        async with asyncio.timeout(DEADLINE):
            with self.daemon.feed.listen() as changes:
                for view in self.views():
                    if condition(view):
                        return view
                async for view in changes:
                    if condition(view):
                        return view
        raise AssertionError("the feed ended")

    async def held(self, code: str, waits: str = "") -> ModuleView:
        """The first view of a module that waits because of that failure."""

        def holds(view: ModuleView) -> bool:
            hold = view["hold"]
            return hold is not None and hold["code"] == code and waits in ("", hold["waits"])

        return await self.until(holds)


def verified(view: ModuleView) -> bool:
    return view["milestone"] == "VERIFIED" and view["hardware_id"] is not None


@dataclass
class DaemonProcess:
    process: asyncio.subprocess.Process
    socket: Path

    async def kill(self) -> None:
        """kill -9: no chance to tidy up."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.terminate()
        async with asyncio.timeout(DEADLINE):
            await self.process.wait()

    async def ctl(self, *arguments: str) -> Any:
        """The JSON answer of ucmctl, or None while the daemon does not answer yet."""
        status, out = await ucmctl(self.socket, *arguments, "--json")
        return json.loads(out) if status == 0 else None

    async def answering(self) -> None:
        async with asyncio.timeout(DEADLINE):
            while await self.ctl("status") is None:
                pass

    async def until(self, choose: Callable[[list[ModuleView]], list[ModuleView]]) -> list[ModuleView]:
        """Asks like an operator would, again and again, until the choice among all modules is not empty."""
        async with asyncio.timeout(DEADLINE):
            while True:
                answer = await self.ctl("list")
                if answer and (chosen := choose(answer["modules"])):
                    return chosen

    async def until_verified(self) -> list[ModuleView]:
        return await self.until(lambda modules: [module for module in modules if verified(module)])


async def ucmctl(socket: Path, *arguments: str) -> tuple[int, str]:
    """What the command line says, on either stream, and its exit status."""
    process = await asyncio.create_subprocess_exec(
        BIN / "ucmctl", "--socket", socket, *arguments, stdout=PIPE, stderr=STDOUT
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def spawn(name: str, *arguments: str, log: Path, cwd: Path | None = None) -> asyncio.subprocess.Process:
    """One of our commands as a process whose output goes to ``log``."""
    return await _spawn(str(BIN / name), *arguments, log=log, cwd=cwd)


async def spawn_python(module: str, *arguments: str, log: Path) -> asyncio.subprocess.Process:
    """A module of the tests as a process."""
    return await _spawn(sys.executable, "-m", module, *arguments, log=log, cwd=REPOSITORY)


async def _spawn(*command: str, log: Path, cwd: Path | None) -> asyncio.subprocess.Process:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return await asyncio.create_subprocess_exec(*command, stdout=descriptor, stderr=descriptor, cwd=cwd)
    finally:
        os.close(descriptor)


def site_settings(folder: Path, **options: Any) -> Settings:
    return Settings(
        state=folder / "site-api",
        listen=LOOPBACK,
        mqtt_listen=LOOPBACK,
        mqtts_listen=LOOPBACK,
        public_host="127.0.0.1",
        **options,
    )


def station_at(site: SiteApi, folder: Path) -> Station:
    """A station for a site whose time source is its own API, on this machine's loopback."""
    port = site.url.rpartition(":")[2]
    time_sync = f'{{ protocol = "HTTP", host = "127.0.0.1", port = {port} }}'
    return Station(
        folder,
        site.url,
        token_file=site.token_file,
        witness=site.witness_file,
        override={"time_sync": time_sync},
    )
