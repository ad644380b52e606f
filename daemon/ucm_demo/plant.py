"""A whole site in one folder and one process: API, broker, modules on serial ports, and the daemon."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ucm_provision import app
from ucm_provision.app import Daemon
from ucm_provision.host import config
from ucm_provision.wire import ModuleView
from ucm_sim import Identity, LanModule, LanSegment, SerialModule
from ucm_site_api import Settings, SiteApi

LOOPBACK = ("127.0.0.1", 0)
WIFI_SSID = "demo-plant"


@dataclass(frozen=True, slots=True)
class DemoModule:
    """One of the plant's modules, as its manifest lists it."""

    hardware_id: str
    name: str
    protocol: str
    product: str
    model: str
    pop: str
    rssi_dbm: int
    on_lan: bool = False


@dataclass(frozen=True, slots=True)
class Plant:
    """What runs: the daemon, the API that it asks, and the modules that it will find."""

    folder: Path
    daemon: Daemon
    site: SiteApi
    modules: list[DemoModule]

    def is_ours(self, view: ModuleView) -> bool:
        """Whether it is one of the plant's modules: others may announce themselves on this machine, too."""
        listed = (view["hardware_id"] or view["announced_id"]) in {module.hardware_id for module in self.modules}
        return listed or view["carrier"] == "serial"

    def views(self) -> list[ModuleView]:
        return list(filter(self.is_ours, self.daemon.record.views()))


def demo_modules() -> list[DemoModule]:
    """An electrolyser and a UCM on serial ports, a dryer and a UCM on the LAN; with certificates and with passwords.

    Those on the LAN have new hardware ids each time: another demo on this machine announces its own.
    """
    return [
        DemoModule(
            "BCC415CBA5375484E829105E959663C8B", "Electrolyser 1", "MQTTS", "ELECTROLYSER", "EL4.1", _label(), -58
        ),
        DemoModule("0F4D7A1BB1E24C6AA2A59CA8D3E7F310", "Cooling loop", "MQTT", "UCM", "ENP-RL6", _label(), -66),
        DemoModule(_new_id(), "Dryer 1", "MQTTS", "DRYER", "DR2.1", _label(), -61, on_lan=True),
        DemoModule(_new_id(), "Gas sensors", "MQTTS", "UCM", "ENP-AI4", _label(), -72, on_lan=True),
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
async def plant(folder: Path) -> AsyncIterator[Plant]:
    """Everything but the modules' power: see :func:`plug_in`. The folder is prepared and empty."""
    modules, passphrase = demo_modules(), secrets.token_urlsafe(12)
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
        (folder / "wifi.passphrase").write_text(passphrase + "\n")
        (folder / "ucm-provision.toml").write_text(_configuration(site))
        async with app.start(config.load(folder / "ucm-provision.toml")) as daemon:
            yield Plant(folder, daemon, site, modules)


@asynccontextmanager
async def plug_in(plant: Plant) -> AsyncIterator[None]:
    """Powers the modules: some from their serial ports, at the true speed of the wire, some on the LAN."""
    passphrase = (plant.folder / "wifi.passphrase").read_text().strip()
    async with AsyncExitStack() as stack:
        segment = await stack.enter_async_context(LanSegment(["127.0.0.1"]))
        for number, module in enumerate(plant.modules):
            await stack.enter_async_context(_simulated(plant.folder, segment, passphrase, number, module))
        yield


def _simulated(
    folder: Path, segment: LanSegment, passphrase: str, number: int, module: DemoModule
) -> SerialModule | LanModule:
    identity = Identity(hardware_id=module.hardware_id, pop=module.pop, product=module.product, model=module.model)
    flash, networks = folder / f"module-{number}.flash", {WIFI_SSID: passphrase}
    if module.on_lan:
        return LanModule(identity, flash, segment, networks=networks, rssi_dbm=module.rssi_dbm)
    return SerialModule(identity, flash, folder / f"ttyUCM{number}", networks=networks, rssi_dbm=module.rssi_dbm)


def _manifest(modules: list[DemoModule]) -> str:
    lines = [f"{module.hardware_id},{module.name},{module.protocol},{module.pop}" for module in modules]
    return "\n".join(["hardware_id,name,protocol,pop", *lines, ""])


def _configuration(site: SiteApi) -> str:
    """The daemon's configuration, as an operator would write it."""
    port = site.url.rpartition(":")[2]
    return f"""
[site]
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
passphrase_file = "wifi.passphrase"

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
