"""Serial ports that come and go while the container runs, in each way in which it may be told of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.station import HARDWARE_ID, PASSPHRASE, POP, verified
from tests.image.box import Box
from ucm_provision.wire import ModuleView

DIALOUT = 20
# The highest minor number, which no adapter of this machine has.
LAST = 255
# A terminal that every kernel has: the stand-in for a USB adapter in sysfs. Nobody can open the real one by accident,
# as that is for processes with a controlling terminal.
KNOWN = Path("/dev/tty")
OPENED = """
import errno, os, sys
for name in sys.argv[1:]:
    try:
        os.open(name, os.O_RDWR | os.O_NOCTTY)
        print("opened")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


def gone(view: ModuleView) -> bool:
    return not view["present"]


async def test_a_module_on_a_named_port_is_provisioned_unplugged_and_known_again(box: Box) -> None:
    box.configure(str(box.port(0)), str(box.port(1)))
    async with box.running(box.line().without("/run/udev")) as container:
        await container.healthy()
        async with box.module() as module:
            box.hand_over()
            view = await container.until(verified)
            assert (view["hardware_id"], view["endpoint"]) == (HARDWARE_ID, str(box.port(0)))
            assert view["evidence"] is not None
            assert (view["evidence"]["reported_phase"], view["evidence"]["seen_by"]) == ("ONLINE", "witness")
            await module.unplug(power=True)
            await container.until(gone)
            await module.plug(box.port(1))
            box.hand_over(1)
            again = await container.until(lambda view: verified(view) and view["endpoint"] == str(box.port(1)))
            assert (again["device_id"], again["adopted"]) == (view["device_id"], True)
            assert module.active_generation == 1
        assert await container.stop() == 0
        said = await container.log()
    (device,) = await box.site.devices()
    assert device["id"] == view["device_id"]
    assert not [secret for secret in (box.token, POP, PASSPHRASE) if secret in said]


class Udev:
    """The database of a udev that has marked a port, as it stands in /run/udev. No event ever comes with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        number = KNOWN.stat().st_rdev
        self._entry = folder / "data" / f"c{os.major(number)}:{os.minor(number)}"
        (folder / "control").touch()

    def plug(self, initialised: int) -> None:
        text = f"I:{initialised}\nE:ID_UCM=1\nE:ID_PATH=pci-0000:00:14.0-usb-0:1:1.0\nV:1\n"
        made = self._folder / "entry"
        made.write_text(text)
        made.replace(self._entry)

    def unplug(self) -> None:
        self._entry.unlink()


async def test_a_port_that_udev_marks_later_is_found_without_any_event(box: Box) -> None:
    udev = Udev(box.folder / "udev")
    async with box.module() as module:
        box.hand_over()
        line = box.line().including(("--volume", f"{box.port().resolve()}:{KNOWN}"))
        async with box.running(line) as container:
            await container.healthy()
            udev.plug(1_000_000)
            view = await container.until(verified)
            assert (view["hardware_id"], view["endpoint"]) == (HARDWARE_ID, str(KNOWN))
            udev.unplug()
            await container.until(gone)
            udev.plug(6_000_000)
            again = await container.until(lambda each: verified(each) and each["session"] != view["session"])
            assert again["adopted"]
            assert module.active_generation == 1


async def test_it_is_found_from_a_network_of_the_containers_own_too(box: Box) -> None:
    udev = Udev(box.folder / "udev")
    async with box.module():
        box.hand_over()
        line = box.line().including(("--volume", f"{box.port().resolve()}:{KNOWN}"))
        async with box.running(line.without("--network").including(("--network", "none"))) as container:
            await container.healthy()
            udev.plug(1_000_000)
            view = await container.until(lambda view: view["hold"] is not None)
            assert view["hold"] is not None
            assert (view["hardware_id"], view["hold"]["code"]) == (HARDWARE_ID, "api_unreachable")


@contextmanager
def nodes(box: Box, *majors: int) -> Iterator[list[Path]]:
    """Device nodes without a device behind them, which the ports' group may open."""
    made = [box.port(major) for major in majors]
    try:
        for node, major in zip(made, majors, strict=True):
            os.mknod(node, stat.S_IFCHR, os.makedev(major, LAST))
            os.chown(node, 0, box.group)
            node.chmod(0o660)
        yield made
    finally:
        for node in made:
            node.unlink(missing_ok=True)


async def test_usb_serial_ports_may_be_opened_and_no_other_device(box: Box) -> None:
    """What the rules let through ends at the driver that is not there; what they do not, before."""
    box.group = DIALOUT
    async with box.running(box.line().without("--group-add"), "sleep", "60") as container:
        with nodes(box, 188, 166, 4, 1) as made:
            answers = (await container.ask("python3", "-c", OPENED, *map(str, made))).out.split()
    assert [answer in ("ENXIO", "ENODEV") for answer in answers] == [True, True, False, False]
    assert answers[2:] == ["EPERM", "EPERM"]
