"""A box that runs the image as documented, with a site API on its loopback and modules on its ports."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.station import HARDWARE_ID, PASSPHRASE, POP, SSID
from tests.image import documented
from tests.image.documented import PORTS_GROUP, Option, RunLine
from tests.image.engine import IMAGE, Answer, Engine
from ucm_provision.wire import ModuleView
from ucm_sim import Identity, SerialModule
from ucm_site_api import SiteApi

USER = 990
# The box's group ucm-provision. The image knows no group of that number.
PORTS = 4242
DEADLINE = 30.0
MACHINE_ID = "0123456789abcdef0123456789abcdef"
_numbers = itertools.count()


@dataclass
class Container:
    engine: Engine
    name: str

    async def ask(self, *command: str) -> Answer:
        """What a command in the container answers, run as `docker exec` runs it."""
        return await self.engine.ask("exec", self.name, *command)

    async def is_healthy(self) -> bool:
        return (await self.engine.ask("healthcheck", "run", self.name)).status == 0

    async def healthy(self) -> None:
        """As soon as it answers its own health check."""
        async with asyncio.timeout(DEADLINE):
            while not await self.is_healthy():
                assert await self.state("Running") is True, await self.log()

    async def state(self, what: str) -> Any:
        answer = await self.engine.ask("container", "inspect", "--format", f"{{{{json .State.{what}}}}}", self.name)
        return json.loads(answer.out)

    async def ended(self) -> int:
        """Its exit status, when it has ended by itself."""
        return int((await self.engine.ask("wait", self.name)).out)

    async def stop(self) -> int:
        """SIGTERM, as `docker stop` sends it to process 1; kill -9 after as long as Docker waits. The exit status."""
        await self.engine.ask("stop", "--time", "10", self.name)
        return int(await self.state("ExitCode"))

    async def log(self) -> str:
        return (await self.engine.ask("logs", self.name)).said

    async def until(self, condition: Callable[[ModuleView], bool]) -> ModuleView:
        """The first module that `ucmctl` in the container shows to meet the condition."""
        async with asyncio.timeout(DEADLINE):
            while True:
                answer = await self.ask("ucmctl", "list", "--json")
                assert answer.status == 0, answer.said
                for view in json.loads(answer.out)["modules"]:
                    if condition(view):
                        return view


@dataclass
class Box:
    engine: Engine
    site: SiteApi
    folder: Path
    group: int = PORTS
    _number: int = field(default_factory=lambda: next(_numbers))

    @property
    def token(self) -> str:
        return self.site.token_file.read_text().strip()

    def port(self, number: int = 0) -> Path:
        """A name on this machine's own /dev, as that is what the container shares. It is this test run's alone."""
        return Path(f"/dev/ttyUCM-{os.getpid()}-{self._number}-{number}")

    def module(self, number: int = 0) -> SerialModule:
        identity = Identity(HARDWARE_ID, POP)
        return SerialModule(identity, self.folder / "module.flash", self.port(number), networks={SSID: PASSPHRASE})

    def hand_over(self, number: int = 0) -> None:
        """What udev does with a new port: gives it to its group."""
        terminal = self.port(number).resolve()
        os.chown(terminal, 0, self.group)
        terminal.chmod(0o660)

    def set_up(self) -> None:
        """What the operations manual has an engineer put on the box."""
        etc = self.folder / "etc"
        (etc / "secrets").mkdir(parents=True)
        (self.folder / "udev" / "data").mkdir(parents=True)
        (self.folder / "machine-id").write_text(MACHINE_ID)
        self.configure()
        self._secret(etc / "manifest.csv", f"hardware_id,pop\n{HARDWARE_ID},{POP}\n")
        self._secret(etc / "witness.json", self.site.witness_file.read_text())
        self._secret(etc / "secrets" / "api-token", self.token)
        self._secret(etc / "secrets" / "plant-wifi", PASSPHRASE)

    def _secret(self, path: Path, text: str) -> None:
        path.write_text(text)
        os.chown(path, 0, USER)
        path.chmod(0o440)

    def configure(self, *globs: str) -> None:
        port = self.site.url.rpartition(":")[2]
        (self.folder / "etc" / "ucm-provision.toml").write_text(
            f'[site]\nmanifest = "manifest.csv"\n[api]\nurl = "{self.site.url}"\n[broker]\nwitness = "witness.json"\n'
            f"[usb]\nglobs = {json.dumps(globs)}\n[lan]\nmdns = false\n"
            f'[[wifi]]\nssid = "{SSID}"\npassphrase_credential = "plant-wifi"\n'
            f'[override]\ntime_sync = {{ protocol = "HTTP", host = "127.0.0.1", port = {port} }}\n'
        )

    def line(self) -> RunLine:
        """The documented line, with this test's own places and names."""
        places = {
            "/run/udev": f"{self.folder}/udev",
            "/etc/machine-id": f"{self.folder}/machine-id",
            "/etc/ucm-provision/secrets": f"{self.folder}/etc/secrets",
            "/etc/ucm-provision": f"{self.folder}/etc",
            "ucm-provision-state": f"state-{self._number}",
            PORTS_GROUP: str(self.group),
        }
        ours: tuple[Option, ...] = (
            ("--name", f"ucm-{self._number}"),
            ("--restart", "no"),  # an exit status is looked at, not mended
            ("--read-only-tmpfs=false", ""),  # podman's own idea, which Docker does not have
            ("--health-interval", "disable"),  # podman's timer is systemd's; the check itself is run by hand
        )
        return documented.run_line().instead(places).without("--name", "--restart").including(*ours)

    @asynccontextmanager
    async def running(self, line: RunLine | None = None, *command: str) -> AsyncIterator[Container]:
        """The image, run until the context ends; with ``command`` in place of the daemon."""
        line = line or self.line()
        entry = ("--entrypoint", command[0]) if command else ()
        started = await self.engine.ask("run", *line.arguments(), *entry, IMAGE, *command[1:])
        container = Container(self.engine, f"ucm-{self._number}")
        try:
            assert started.status == 0, started.said
            yield container
        finally:
            await self.engine.ask("rm", "--force", "--time", "0", "--volumes", container.name)
