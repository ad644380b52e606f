"""The site around the box: provisioning API and broker on the host, and the modules' Wi-Fi, which leads to them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ucm_sim import Identity, SerialModule, network
from ucm_site_api import Settings, SiteApi

#: What the API calls the machine that it runs on. The guest knows it from /etc/hosts, the modules from their Wi-Fi.
SITE_HOST = "gateway.test"
SSID, PASSPHRASE = "plant-wifi", "correct horse battery"
POP = "label-7f3a-9c21"
_LOOPBACK = ("127.0.0.1", 0)
_numbers = itertools.count(1)


class Plant:
    """The site, and a folder for its modules' flash. Made by :func:`running_plant`."""

    def __init__(self, site: SiteApi, folder: Path) -> None:
        self.site = site
        self._folder = folder

    @property
    def ports(self) -> tuple[int, ...]:
        """What the box must reach: API, broker, broker with TLS."""
        http = int(self.site.url.rpartition(":")[2])
        return http, self.site.mqtt_port, self.site.mqtts_port

    @property
    def api_url(self) -> str:
        return f"http://{SITE_HOST}:{self.ports[0]}"

    def module(self, *, baud: int = 115200) -> SerialModule:
        """A new module as it comes from the factory, without power."""
        number = next(_numbers)
        return SerialModule(
            Identity(f"C8795CBA5375484E829105E95966{number:04X}", POP),
            state_file=self._folder / f"module{number}.flash",
            link=self._folder / f"ttyUCM{number}",
            networks={SSID: PASSPHRASE},
            baud=baud,
        )


@asynccontextmanager
async def running_plant(folder: Path) -> AsyncIterator[Plant]:
    # An RSA key makes a configuration of several pieces, so that there is a middle to interrupt it in.
    settings = Settings(
        state=folder / "site-api",
        listen=_LOOPBACK,
        mqtt_listen=_LOOPBACK,
        mqtts_listen=_LOOPBACK,
        public_host=SITE_HOST,
        key="rsa",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "resolve", _resolve)
        patch.setattr("ucm_sim.timesync.resolve", _resolve)
        async with SiteApi(settings) as site:
            yield Plant(site, folder)


async def _resolve(host: str, port: int) -> list[tuple[str, int]]:
    """The modules' Wi-Fi has a name server that knows one name."""
    return [("127.0.0.1" if host == SITE_HOST else host, port)]
