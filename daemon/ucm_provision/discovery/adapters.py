"""Serial ports on USB as udev knows them: those that carry modules, and all others.

Nothing is opened. For people who look for a port that the daemon does not take; the daemon's own eyes are
:mod:`ucm_provision.discovery.udev`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyudev


@dataclass(frozen=True, slots=True)
class Adapter:
    """One serial port on USB.

    Attributes:
        node: Its device node, like ``/dev/ttyUSB0``.
        number: The node's device number.
        mark: ``1``: udev says that it carries a UCM. ``0``: that it does not. Empty: it does not say.
        is_settled: udev has finished with it. False for ever where udev does not run.
        vendor, product: The USB ids, four hexadecimal digits each.
        maker, model: What a person knows it as; may be empty.
        serial: The serial number, as udev's rules see it; may be empty.
        place: Where it is plugged in (``ID_PATH``), as udev's rules see it; empty while udev has not said.
        interface: The number of the USB interface, two digits; may be empty.
        line: Which of several ports of one interface it is; empty where there is one.
        device: The USB device in sysfs: the same for all ports of one adapter.
        modems_keep_off: ModemManager is told to leave it alone.
    """

    node: str
    number: int
    mark: str
    is_settled: bool
    vendor: str
    product: str
    maker: str
    model: str
    serial: str
    place: str
    interface: str
    line: str
    device: str
    modems_keep_off: bool

    @property
    def ids(self) -> tuple[str, str]:
        return self.vendor, self.product

    @property
    def title(self) -> str:
        """What it is, for a person."""
        named = " ".join(filter(None, (self.maker, self.model)))
        return f"{named}, {self.vendor}:{self.product}" if named else f"{self.vendor}:{self.product}"


def present() -> tuple[Adapter, ...]:
    """The serial ports on USB that are there now, by name of their nodes.

    Raises:
        ImportError: there is no libudev.
    """
    return tuple(sorted(_adapters(), key=lambda adapter: (len(adapter.node), adapter.node)))


def _adapters() -> Iterator[Adapter]:
    for terminal in pyudev.Context().list_devices(subsystem="tty"):
        device = terminal.find_parent("usb", "usb_device")
        if device is not None and terminal.device_node:
            yield _adapter(terminal, device)


def _adapter(terminal: pyudev.Device, device: pyudev.Device) -> Adapter:
    udev = terminal.properties
    ignored = (udev.get("ID_MM_DEVICE_IGNORE"), udev.get("ID_MM_PORT_IGNORE"))
    return Adapter(
        node=terminal.device_node,
        number=terminal.device_number,
        mark=udev.get("ID_UCM", ""),
        is_settled="USEC_INITIALIZED" in udev,
        vendor=udev.get("ID_VENDOR_ID") or _attribute(device, "idVendor"),
        product=udev.get("ID_MODEL_ID") or _attribute(device, "idProduct"),
        maker=udev.get("ID_VENDOR_FROM_DATABASE") or _attribute(device, "manufacturer"),
        model=udev.get("ID_MODEL_FROM_DATABASE") or _attribute(device, "product"),
        serial=udev.get("ID_SERIAL_SHORT", ""),
        place=udev.get("ID_PATH", ""),
        interface=udev.get("ID_USB_INTERFACE_NUM", ""),
        line=_line(terminal),
        device=device.device_path,
        modems_keep_off="1" in ignored,
    )


def _line(terminal: pyudev.Device) -> str:
    port = terminal.find_parent("usb-serial")
    return _attribute(port, "port_number") if port is not None else ""


def _attribute(device: pyudev.Device, name: str) -> str:
    """An attribute of sysfs; empty where there is none. Anything may stand there: adapters say what they like."""
    value = device.attributes.get(name, b"").decode(errors="replace").strip()
    return "".join(c if c.isprintable() else "?" for c in value)
