"""QEMU's command line: a PC without anything that the tests do not need, in software emulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Where the guest finds the host: every forwarded port is a port of this address.
HOST_ADDRESS = "10.0.2.100"

_KERNEL_ARGUMENTS = (
    "console=ttyS0 root=/dev/vda rw quiet loglevel=4 mitigations=off net.ifnames=0 nowatchdog "
    "random.trust_cpu=on systemd.show_status=no"
)
# What the guest's Python, OpenSSL and gmpy2 want to see; more would only be emulated more slowly.
_CPU = "qemu64,+rdrand,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16"


@dataclass(frozen=True)
class Sockets:
    """Where QEMU and its host meet, all in one short-named folder."""

    folder: Path

    @property
    def qmp(self) -> Path:
        return self.folder / "qmp"

    @property
    def agent(self) -> Path:
        return self.folder / "agent"

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    def chardev(self, name: str) -> Path:
        return self.folder / name


def command(image: Path, sockets: Sockets, *, ports: Sequence[int], share: Path) -> list[str]:
    """The command that boots the image and leaves it as it is: what the guest writes dies with QEMU.

    Args:
        image: The folder that image/build.sh has filled.
        ports: TCP ports of the host's loopback that the guest reaches, at :data:`HOST_ADDRESS`, and nothing else.
        share: A folder that the guest may mount read-only, tag "share".
    """
    return [
        *("setpriv", "--pdeathsig", "KILL"),  # it outlives nobody who has started it
        "qemu-system-x86_64",
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-M", "q35,usb=off,vmport=off", "-m", "768", "-smp", "2", "-cpu", _CPU),
        *("-accel", "tcg,thread=multi,tb-size=256"),
        *("-kernel", f"{image}/vmlinuz", "-initrd", f"{image}/initrd.img", "-append", _KERNEL_ARGUMENTS),
        *("-drive", f"file={image}/root.img,format=raw,if=virtio,snapshot=on,cache=unsafe"),
        *("-object", "rng-random,id=random,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=random"),
        *("-serial", f"file:{sockets.console}"),
        *("-qmp", f"unix:{sockets.qmp},server=on,wait=off"),
        *("-device", "virtio-serial-pci"),
        *("-chardev", f"socket,id=agent,path={sockets.agent},server=on,wait=off"),
        *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
        *("-device", "qemu-xhci,id=usb,p2=8,p3=4"),
        *("-netdev", _network(ports), "-device", "virtio-net-pci,netdev=lan"),
        *("-virtfs", f"local,path={share},mount_tag=share,security_model=none,readonly=on"),
    ]


def _network(ports: Sequence[int]) -> str:
    # A command, not an address: with an address all of a port's connections would share one.
    forwards = [f"guestfwd=tcp:{HOST_ADDRESS}:{port}-cmd:socat -T 3600 STDIO TCP:127.0.0.1:{port}" for port in ports]
    return ",".join(["user,id=lan,restrict=on", *forwards])
