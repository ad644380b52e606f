"""`ucmctl doctor` and `ucmctl suggest` before adapters as sysfs and udev really show them."""

from __future__ import annotations

import json
import os
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.station import BIN
from tests.unit.udev import rules
from tests.unit.udev.rules import Node
from tests.wire.udev.bus import RULES, Bus
from ucm_provision.core.errors import Exit

pytestmark = pytest.mark.system

CP2102, FTDI = ("10c4", "ea60"), ("0403", "6001")


@dataclass(frozen=True)
class Adapter:
    """A USB serial adapter with its driver, and what udev's database has of its port."""

    number: int
    ids: tuple[str, str] = FTDI
    product: str = "FT232R USB UART"
    serial: str = ""
    is_settled: bool = True
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"ttyUSB{220 + self.number}"

    @property
    def place(self) -> str:
        return f"pci-0000:00:14.0-usb-0:{self.number}:1.0"

    def properties(self) -> dict[str, str]:
        """What udev's own rules import (60-serial.rules), and what ours make of it."""
        if not self.is_settled:
            return {}
        facts = {
            "ID_VENDOR_ID": self.ids[0],
            "ID_MODEL_ID": self.ids[1],
            "ID_PATH": self.place,
            "ID_USB_INTERFACE_NUM": "00",
            "USEC_INITIALIZED": "1000000",
            **({"ID_SERIAL_SHORT": self.serial} if self.serial else {}),
        }
        usb = Node("usb", {"idVendor": self.ids[0], "idProduct": self.ids[1]})
        chain = [Node("tty"), Node("usb-serial"), usb]
        return rules.apply(rules.load(RULES), "add", chain, facts).properties | self.facts

    def dump(self) -> str:
        device = f"/devices/pci0000:00/0000:00:14.0/usb1/1-{self.number}"
        port = f"{device}/1-{self.number}:1.0/{self.name}"
        serial = [f"A: serial={self.serial}"] if self.serial else []
        known = [f"E: {key}={value}" for key, value in self.properties().items()]
        return "\n".join(
            [
                f"P: {port}/tty/{self.name}", f"E: DEVNAME=/dev/{self.name}", "E: SUBSYSTEM=tty",
                "E: MAJOR=188", f"E: MINOR={220 + self.number}", *known, f"A: dev=188:{220 + self.number}", "",
                f"P: {port}", "E: SUBSYSTEM=usb-serial", "A: port_number=0", "",
                f"P: {device}/1-{self.number}:1.0", "E: DEVTYPE=usb_interface", "E: SUBSYSTEM=usb", "",
                f"P: {device}", "E: DEVTYPE=usb_device", "E: SUBSYSTEM=usb",
                f"A: idVendor={self.ids[0]}", f"A: idProduct={self.ids[1]}", "A: manufacturer=A Maker",
                f"A: product={self.product}", *serial, "",
            ]
        )  # fmt: skip


@asynccontextmanager
async def plugged(bus: Bus, *adapters: Adapter) -> AsyncIterator[None]:
    """The adapters are there. Their device nodes are terminals, which are as good as any serial port."""
    with ExitStack() as stack:
        for adapter in adapters:
            await bus.add(adapter.dump())
            master, slave = os.openpty()
            stack.callback(os.close, master)
            stack.callback(os.close, slave)
            bus.node(adapter).symlink_to(os.ttyname(slave))
            stack.callback(bus.node(adapter).unlink)
        yield


@dataclass(frozen=True)
class Said:
    status: int
    json: Any
    text: str


async def ucmctl(bus: Bus, *arguments: str | Path) -> Said:
    process = await bus.start(BIN / "ucmctl", *arguments, stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate()
    assert process.returncode is not None
    assert "Traceback" not in (out + err).decode()
    text = out.decode()
    return Said(process.returncode, json.loads(text) if text.startswith("{") else None, text)


UCM = Adapter(1, CP2102, "CP2102 USB to UART Bridge Controller", "0001")
METER = Adapter(2, FTDI, serial="A50285BI")
NAMELESS = Adapter(3, FTDI, is_settled=False)


async def test_an_unknown_adapter_is_suggested_a_rule_that_marks_it(bus: Bus) -> None:
    async with plugged(bus, UCM, METER):
        said = (await ucmctl(bus, "suggest", "--json")).json
    (suggestion,) = said["suggestions"]
    assert said["marked"] == [f"/dev/{UCM.name}"]
    assert (suggestion["port"], suggestion["by"], suggestion["serial"]) == (f"/dev/{METER.name}", "serial", "A50285BI")
    assert suggestion["title"] == "A Maker FT232R USB UART, 0403:6001"
    usb = Node("usb", {"idVendor": "0403", "idProduct": "6001"})
    made = rules.apply(rules.parse(suggestion["rule"]), "add", [Node("tty"), usb], METER.properties())
    assert (made.properties["ID_UCM"], made.group) == ("1", "ucm-provision")


async def test_several_unknown_adapters_are_listed_each(bus: Bus) -> None:
    twin, other = Adapter(4, FTDI, serial="A50285BI"), Adapter(5, ("067b", "2303"), "USB-Serial Controller")
    async with plugged(bus, METER, twin, other):
        said = await ucmctl(bus, "suggest", "--json")
        text = (await ucmctl(bus, "suggest")).text
    assert said.status == 0
    assert {each["port"]: each["by"] for each in said.json["suggestions"]} == {
        f"/dev/{METER.name}": "place",
        f"/dev/{twin.name}": "place",
        f"/dev/{other.name}": "place",
    }
    assert text.count("Opening a port may reset what hangs on it") == 3
    assert "another one here has the same serial number, A50285BI" in text
    assert f'ENV{{ID_PATH}}=="{twin.place}"' in text


async def test_without_an_unknown_adapter_it_says_so(bus: Bus) -> None:
    async with plugged(bus, UCM):
        said = await ucmctl(bus, "suggest")
    assert said.status == 0
    assert f"No unknown USB serial adapter is plugged in. Known as modules' ports: /dev/{UCM.name}." in said.text


async def test_where_udev_tells_nothing_patterns_are_the_way(bus: Bus) -> None:
    async with plugged(bus, NAMELESS):
        said = await ucmctl(bus, "suggest", "--json")
    assert (said.json["nameless"], said.json["suggestions"]) == ([f"/dev/{NAMELESS.name}"], [])


# ---- the doctor ----------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A box that needs no network."""
    path = tmp_path / "ucm-provision.toml"
    path.write_text(
        f'[box]\nid = "box-a"\n[api]\nurl = "gateway"\n[lan]\nmdns = false\n[state]\ndir = "{tmp_path}/state"\n'
        f'[control]\nsocket = "{tmp_path}/control.sock"\n'
    )
    return path


async def doctor(bus: Bus, config: Path) -> dict[str, list[dict[str, Any]]]:
    """What is found, by check."""
    said = await ucmctl(bus, "doctor", "--json", "--config", config)
    found: dict[str, list[dict[str, Any]]] = {}
    for each in said.json["findings"]:
        found.setdefault(each["check"], []).append(each)
    assert said.status == (Exit.OPERATOR if said.json["counts"]["problem"] else 0)
    return found


async def test_marked_and_unmarked_ports_are_told_apart(bus: Bus, config: Path) -> None:
    async with plugged(bus, UCM, METER):
        found = await doctor(bus, config)
    assert [each["summary"] for each in found["ports"]] == [f"Modules' ports: /dev/{UCM.name}."]
    (stranger,) = found["adapters"]
    assert (stranger["level"], stranger["mend"]) == ("warn", "ucmctl suggest")
    assert f"/dev/{METER.name} (A Maker FT232R USB UART, 0403:6001)" in stranger["summary"]


async def test_an_exception_of_the_site_s_is_not_complained_about(bus: Bus, config: Path) -> None:
    excepted = Adapter(6, CP2102, "CP2102", "0001", facts={"ID_UCM": "0"})
    async with plugged(bus, excepted):
        found = await doctor(bus, config)
    assert found["adapters"][0]["level"] == "ok"
    assert found["ports"][0]["summary"] == "No module's port is plugged in."


def name_port(config: Path, adapter: Adapter) -> None:
    config.write_text(config.read_text() + f'[usb]\nglobs = ["/dev/{adapter.name}"]\n')


async def test_an_adapter_that_a_pattern_names_is_not_complained_about(bus: Bus, config: Path) -> None:
    async with plugged(bus, METER):
        name_port(config, METER)
        found = await doctor(bus, config)
    assert found["ports"][0]["summary"] == f"Modules' ports: /dev/{METER.name}."
    assert found["adapters"][0]["level"] == "ok"
