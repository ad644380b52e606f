"""A sysfs and a udev that exist for one test. Runs under the system's Python, which has umockdev's bindings.

Says where its root is, then obeys one JSON command a line and answers each with an empty line when it is done.
Where the order of things matters, it is the kernel's.
"""

import json
import shutil
import sys
from pathlib import Path

import gi

gi.require_version("UMockdev", "1.0")
from gi.repository import GLib, UMockdev  # noqa: E402 -- the version is chosen before

BED = UMockdev.Testbed.new()
ROOT = Path(BED.get_root_dir())


def execute(_: UMockdev.IoctlBase, client: UMockdev.IoctlClient) -> bool:
    """Lets the terminal behind the node answer: by itself umockdev knows no more of one than ENOTTY."""
    result, error = client.execute()
    client.complete(result, error)
    return True


TERMINAL = UMockdev.IoctlBase()
TERMINAL.connect("handle-ioctl", execute)


def plug(path: str, name: str, number: str, properties: dict[str, str]) -> None:
    """A terminal appears, and udev has finished with it. The node itself is the caller's."""
    major, minor = number.split(":")
    shown = {"SUBSYSTEM": "tty", "DEVNAME": f"/dev/{name}", "MAJOR": major, "MINOR": minor, **properties}
    lines = [f"P: {path}", *(f"E: {key}={value}" for key, value in shown.items()), f"A: dev={number}", ""]
    BED.add_from_string("\n".join(lines))  # which says "add" itself

    BED.attach_ioctl(f"/dev/{name}", TERMINAL)


def unplug(path: str, name: str, number: str) -> None:
    (ROOT / "sys/class/tty" / name).unlink()
    (ROOT / "sys/dev/char" / number).unlink()
    BED.uevent(f"/sys{path}", "remove")
    BED.detach_ioctl(f"/dev/{name}")
    shutil.rmtree(f"{ROOT}/sys{path}")
    (ROOT / "dev/.node" / name).unlink()  # umockdev's own note, which would be in the way of the next plug


def add(devices: str) -> None:
    """Devices in umockdev's own words."""
    BED.add_from_string(devices)


def change(path: str, action: str, properties: dict[str, str]) -> None:
    for key, value in properties.items():
        BED.set_property(f"/sys{path}", key, value)
    BED.uevent(f"/sys{path}", action)


def obey(line: str) -> None:
    command = json.loads(line)
    {function.__name__: function for function in (plug, unplug, add, change)}[command.pop("do")](**command)
    print(flush=True)


def main() -> None:
    (ROOT / "dev").mkdir(exist_ok=True)
    print(ROOT, flush=True)
    loop = GLib.MainLoop()

    def readable(*_: object) -> bool:
        line = sys.stdin.readline()
        if line:
            obey(line)
        else:
            loop.quit()
        return bool(line)

    # One line at a time comes in, each after the answer to the one before: none waits in Python's own buffer.
    GLib.io_add_watch(sys.stdin.fileno(), GLib.PRIORITY_DEFAULT, GLib.IO_IN | GLib.IO_HUP, readable)
    loop.run()


main()
