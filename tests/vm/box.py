"""The box: the guest with the product's package installed, as an engineer sets it up and looks at it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.vm.machine.guest import Guest
from tests.vm.machine.polling import polled
from tests.vm.machine.qemu import HOST_ADDRESS
from tests.vm.site import PASSPHRASE, POP, SITE_HOST, SSID, Plant

SERVICE = "ucm-provisiond.service"
CONFIG = "/etc/ucm-provision/ucm-provision.toml"
TOKEN = "/etc/ucm-provision/credentials/api-token"
WITNESS = "/etc/ucm-provision/witness.json"
STATE = "/var/lib/ucm-provision"
SOCKET = "/run/ucm-provision/control.sock"

_INSTALL_WITHIN = 180.0
_LOOK_EVERY = 0.25
_CONFIGURATION = f"""
[api]
url = "{{url}}"
allow_http = true

[broker]
witness = "witness.json"

[lan]
mdns = false

[link]
site_pop_file = "label.txt"

[[wifi]]
ssid = "{SSID}"
passphrase_file = "plant-wifi.passphrase"
"""
# QEMU's own adapter is none that UCM kits have: this site adds some, as the head of the product's rules shows.
_SITE_RULE = """\
SUBSYSTEM=="tty", ENV{ID_VENDOR_ID}=="0403", ENV{ID_MODEL_ID}=="6001", ENV{ID_SERIAL_SHORT}=="UCM*", \
  ENV{ID_UCM}="1", GROUP="ucm-provision"
"""
_DROP_IN = f"/run/systemd/system/{SERVICE}.d/test.conf"


class Box:
    """What an operator does to the box, and what it shows."""

    def __init__(self, guest: Guest, plant: Plant) -> None:
        self.guest = guest
        self.plant = plant

    async def install(self, package: str) -> str:
        """Installs from the shared folder, without a network, over any other version; returns what apt says."""
        apt = "DEBIAN_FRONTEND=noninteractive apt-get --yes --allow-downgrades"
        command = f"{apt} install /mnt/share/{package} 2>&1"
        return await self.guest.run(command, within=_INSTALL_WITHIN)

    async def configure(self) -> None:
        """All that a site has to say, once the package is there."""
        await self.guest.run(f"grep -q {SITE_HOST} /etc/hosts || echo {HOST_ADDRESS} {SITE_HOST} >> /etc/hosts")
        await self.guest.write("/etc/udev/rules.d/71-ucm-site.rules", _SITE_RULE)
        await self.guest.run("udevadm control --reload")
        await self.guest.write(TOKEN, self.plant.site.token_file.read_text(), mode=0o600)
        await self._write_for_the_service(WITNESS, self.plant.site.witness_file.read_text())
        await self._write_for_the_service("/etc/ucm-provision/label.txt", POP)
        await self._write_for_the_service("/etc/ucm-provision/plant-wifi.passphrase", PASSPHRASE)
        await self.guest.write(CONFIG, _CONFIGURATION.format(url=self.plant.api_url))

    async def _write_for_the_service(self, path: str, text: str) -> None:
        await self.guest.write(path, text, mode=0o640)
        await self.guest.run(f"chgrp ucm-provision {path}")

    async def restart(self) -> None:
        """Returns when the daemon is ready. Raises GuestError if it cannot start."""
        # More starts in five minutes than the unit allows are made here.
        await self.guest.run(f"systemctl reset-failed {SERVICE}; systemctl restart {SERVICE}")

    async def stop(self) -> None:
        await self.guest.run(f"systemctl stop {SERVICE}")

    async def modules(self) -> list[dict[str, Any]]:
        """What the daemon knows of every module; an empty list while it does not answer."""
        ended = await self.guest.attempt(f"curl --silent --max-time 10 --unix-socket {SOCKET} http://box/v1/modules")
        modules: list[dict[str, Any]] = json.loads(ended.out)["modules"] if ended.status == 0 else []
        return modules

    async def until_module(self, hardware_id: str, *, within: float = 90.0, **wanted: Any) -> dict[str, Any]:
        """Waits until what the daemon knows of a module is as wanted. Raises TimeoutError with what it knows."""
        known: list[dict[str, Any]] = []

        async def look() -> dict[str, Any] | None:
            known[:] = [each for each in await self.modules() if each["hardware_id"] == hardware_id]
            return next((each for each in known if wanted.items() <= each.items()), None)

        try:
            return await polled(look, within, _LOOK_EVERY)
        except TimeoutError as late:
            raise TimeoutError(f"{hardware_id} never had {wanted}; at last: {known}") from late

    async def until_verified(self, hardware_id: str, *, within: float = 90.0) -> dict[str, Any]:
        return await self.until_module(hardware_id, within=within, milestone="VERIFIED", present=True)

    @asynccontextmanager
    async def drop_in(self, text: str) -> AsyncIterator[None]:
        """The service, started anew with a drop-in, which lasts until its next start after the context."""
        await self.guest.write(_DROP_IN, f"[Service]\n{text}\n")
        await self.guest.run("systemctl daemon-reload")
        try:
            await self.restart()
            yield
        finally:
            await self.guest.run(f"rm {_DROP_IN} && systemctl daemon-reload")

    async def show(self, prop: str) -> str:
        """A property of the service, as systemd tells it."""
        return (await self.guest.run(f"systemctl show --property {prop} --value {SERVICE}")).strip()

    async def until_shown(self, prop: str, wanted: str, *, within: float = 60.0) -> str:
        """Waits until a property of the service has the pattern."""
        return await self.guest.until(f"systemctl show --property {prop} --value {SERVICE}", wanted, within=within)

    async def now(self) -> str:
        """The journal's present end, for :meth:`said`."""
        return (await self.guest.run("journalctl --quiet --lines 1 --show-cursor | sed -n 's/^-- cursor: //p'")).strip()

    async def said(self, since: str) -> str:
        """What the service and systemd wrote about it into the journal."""
        return await self.guest.run(f"journalctl --quiet --unit {SERVICE} --after-cursor '{since}' --output cat")
