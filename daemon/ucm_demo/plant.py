"""A whole site in one folder and one process: API, broker, modules on serial ports, and the daemon."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ucm_demo.leftover import Leftover
from ucm_provision import app
from ucm_provision.app import Daemon
from ucm_provision.host import config
from ucm_provision.wire import ModuleView
from ucm_sim import Identity, LanModule, LanSegment, SerialModule
from ucm_site_api import Settings, SiteApi

LOOPBACK = ("127.0.0.1", 0)
WIFI_SSID = "demo-plant"
# A second network that the modules hear, to move them to.
OTHER_SSID = "demo-annex"


@dataclass(frozen=True, slots=True)
class DemoModule:
    """One of the plant's modules.

    Attributes:
        listed: The manifest has it; otherwise it waits for approval, and its proof of possession is on its label only.
        fails_once: The API has its hardware id as another kind of device, until it has failed because of that.
    """

    hardware_id: str
    name: str
    protocol: str
    product: str
    model: str
    pop: str
    rssi_dbm: int
    on_lan: bool = False
    listed: bool = True
    fails_once: bool = False

    @property
    def needs_nobody(self) -> bool:
        """Whether it gets to the broker without a person."""
        return self.listed and not self.fails_once


@dataclass(frozen=True, slots=True)
class Plant:
    """What runs: the daemon, the API that it asks, and the modules that it will find.

    Attributes:
        page: The address of the daemon's page.
    """

    folder: Path
    daemon: Daemon
    site: SiteApi
    modules: list[DemoModule]

    @property
    def page(self) -> str:
        return self.daemon.places[0].urls(tuple)[0]

    @property
    def labels(self) -> Path:
        """What stands on the labels of the modules that the manifest does not list."""
        return self.folder / "labels.txt"

    def is_ours(self, view: ModuleView) -> bool:
        """Whether it is one of the plant's modules: others may announce themselves on this machine, too."""
        listed = (view["hardware_id"] or view["announced_id"]) in {module.hardware_id for module in self.modules}
        return listed or view["carrier"] == "serial"

    def views(self) -> list[ModuleView]:
        return list(filter(self.is_ours, self.daemon.record.views()))


def demo_modules(*, more: bool = False) -> list[DemoModule]:
    """An electrolyser and a UCM on serial ports, a dryer and a UCM on the LAN; with certificates and with passwords.

    ``more``: with a UCM on the LAN that nobody has listed, and one that the API refuses at first. Those on the LAN have
    new hardware ids each time: another demo on this machine announces its own.
    """
    modules = [
        DemoModule(
            "BCC415CBA5375484E829105E959663C8B", "Electrolyser 1", "MQTTS", "ELECTROLYSER", "EL4.1", _label(), -58
        ),
        DemoModule("0F4D7A1BB1E24C6AA2A59CA8D3E7F310", "Cooling loop", "MQTT", "UCM", "ENP-RL6", _label(), -66),
        DemoModule(_new_id(), "Dryer 1", "MQTTS", "DRYER", "DR2.1", _label(), -61, on_lan=True),
        DemoModule(_new_id(), "Gas sensors", "MQTTS", "UCM", "ENP-AI4", _label(), -78, on_lan=True),
    ]
    if not more:
        return modules
    return [
        *modules,
        DemoModule(_new_id(), "", "MQTTS", "UCM", "ENP-RL6", _label(), -79, on_lan=True, listed=False),
        DemoModule(_new_id(), "Battery room", "MQTTS", "UCM", "ENP-CAN", _label(), -63, fails_once=True),
    ]


def _new_id() -> str:
    return secrets.token_hex(16).upper()


def _label() -> str:
    """A proof of possession, as a module's label would show it."""
    return secrets.token_urlsafe(9)


def prepare(folder: Path) -> None:
    """An empty folder of ours; what an earlier run left in it is removed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)


@asynccontextmanager
async def plant(folder: Path, *, more: bool = False) -> AsyncIterator[Plant]:
    """Everything but the modules' power: see :func:`plug_in`. The folder is prepared and empty."""
    modules = demo_modules(more=more)
    settings = Settings(
        state=folder / "site-api",
        listen=LOOPBACK,
        mqtt_listen=LOOPBACK,
        mqtts_listen=LOOPBACK,
        public_host="127.0.0.1",
        site_name="Demo plant",
    )
    async with SiteApi(settings) as site:
        (folder / "manifest.csv").write_text(_manifest(modules))
        for ssid in (WIFI_SSID, OTHER_SSID):
            (folder / f"{ssid}.passphrase").write_text(secrets.token_urlsafe(12) + "\n")
        (folder / "ucm-provision.toml").write_text(_configuration(site))
        async with app.start(config.load(folder / "ucm-provision.toml")) as daemon:
            made = Plant(folder, daemon, site, modules)
            made.labels.write_text("".join(f"{each.hardware_id} {each.pop}\n" for each in modules if not each.listed))
            yield made


@asynccontextmanager
async def plug_in(plant: Plant) -> AsyncIterator[None]:
    """Powers the modules: some from their serial ports, at the true speed of the wire, some on the LAN."""
    networks = {ssid: (plant.folder / f"{ssid}.passphrase").read_text().strip() for ssid in (WIFI_SSID, OTHER_SSID)}
    async with asyncio.TaskGroup() as group, AsyncExitStack() as stack:
        segment = await stack.enter_async_context(LanSegment(["127.0.0.1"]))
        for number, module in enumerate(plant.modules):
            if module.fails_once:
                leftover = Leftover(plant.site.url, plant.site.token_file, module.hardware_id)
                await leftover.leave()
                stack.callback(group.create_task(leftover.remove_when_met(plant.daemon.feed)).cancel)
            await stack.enter_async_context(_simulated(plant.folder, segment, networks, number, module))
        yield


def _simulated(
    folder: Path, segment: LanSegment, networks: dict[str, str], number: int, module: DemoModule
) -> SerialModule | LanModule:
    identity = Identity(hardware_id=module.hardware_id, pop=module.pop, product=module.product, model=module.model)
    flash = folder / f"module-{number}.flash"
    if module.on_lan:
        return LanModule(identity, flash, segment, networks=networks, rssi_dbm=module.rssi_dbm)
    return SerialModule(identity, flash, folder / f"ttyUCM{number}", networks=networks, rssi_dbm=module.rssi_dbm)


def _manifest(modules: list[DemoModule]) -> str:
    listed = [module for module in modules if module.listed]
    lines = [f"{module.hardware_id},{module.name},{module.protocol},{module.pop}" for module in listed]
    return "\n".join(["hardware_id,name,protocol,pop", *lines, ""])


def _configuration(site: SiteApi) -> str:
    """The daemon's configuration, as an operator would write it."""
    port = site.url.rpartition(":")[2]
    return f"""
[site]
name = "Demo plant"
manifest = "manifest.csv"

[box]
id = "demo-box"

[api]
url = {_toml(site.url)}
token_file = {_toml(str(site.token_file.absolute()))}

[broker]
witness = {_toml(str(site.witness_file.absolute()))}

# Only the simulated modules: real ones on this machine are none of the demo's business.
[usb]
udev = false
globs = ["ttyUCM*"]

# This machine only, for the same reason.
[lan]
interfaces = ["127.0.0.1"]

[[wifi]]
ssid = "{WIFI_SSID}"
passphrase_file = "{WIFI_SSID}.passphrase"

# The modules run on this machine, so its loopback address is theirs too.
[override]
time_sync = {{ protocol = "HTTP", host = "127.0.0.1", port = {port} }}

[control]
socket = "control.sock"

[web]
listen = "127.0.0.1:0"

[state]
dir = "state"
"""


def _toml(text: str) -> str:
    return msgspec.json.encode(text).decode()  # a JSON string is a TOML basic string
