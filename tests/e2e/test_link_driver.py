"""A package on this box brings a link driver: found, used for the ports that ask for it, refused in words."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.station import Station, verified
from ucm_provision import parts
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import Carrier, Endpoint
from ucm_provision.host import config

_DRIVER = '''
from contextlib import asynccontextmanager

from ucm_provision.link import SerialLinks

dialled = []


class AcmeLinks:
    """Speaks what it has at hand, and remembers to whom."""

    def __init__(self, open_stream, baud):
        self._links = SerialLinks(open_stream, baud)

    @asynccontextmanager
    async def dial(self, endpoint, pop_for):
        dialled.append(endpoint.address)
        async with self._links.dial(endpoint, pop_for) as link:
            yield link
'''


@pytest.fixture
def package(tmp_path: Path) -> Iterator[Path]:
    """An installed package: its module, and its metadata with the entry points."""
    folder = tmp_path / "site-packages"
    (folder / "acme-1.0.dist-info").mkdir(parents=True)
    (folder / "acme-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    entry_points = "[ucm_provision.links]\nacme = acme_ucm_link:AcmeLinks\nbroken = acme_ucm_link:Nothing\n"
    (folder / "acme-1.0.dist-info/entry_points.txt").write_text(entry_points)
    (folder / "acme_ucm_link.py").write_text(_DRIVER)
    sys.path.insert(0, str(folder))
    try:
        yield folder
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("acme_ucm_link", None)


async def test_a_module_is_provisioned_through_a_driver(station: Station, package: Path) -> None:
    station.link = 'driver = "acme"'
    async with station.daemon() as running, station.module():
        view = await running.until(verified)
    assert sys.modules["acme_ucm_link"].dialled == [view["endpoint"]]


@pytest.mark.parametrize(("name", "why"), [("nobody", "nobody; installed: "), ("broken", "broken: AttributeError")])
def test_a_configured_driver_that_cannot_be_used(station: Station, package: Path, name: str, why: str) -> None:
    station.link = f'driver = "{name}"'
    settings = config.load(station.configure())
    with pytest.raises(UcmError) as refused:
        parts.device_links(settings, None, parts.Routes())
    assert refused.value.code is Code.CONFIG_INVALID
    assert f"link.driver: {why}" in refused.value.detail


async def test_a_port_may_ask_for_its_own_driver(station: Station, package: Path) -> None:
    links = parts.device_links(config.load(station.configure()), None, parts.Routes())
    async with station.module() as module:
        port = Endpoint(Carrier.SERIAL, str(station.folder / "ttyUCM0"), "key", driver="acme")
        pop = station.known_proof()
        async with links.dial(port, lambda _: pop) as link:
            assert (await link.info()).hardware_id == module.identity.hardware_id
        assert sys.modules["acme_ucm_link"].dialled == [port.address]


async def test_a_port_that_asks_for_a_driver_which_is_not_there(station: Station) -> None:
    links = parts.device_links(config.load(station.configure()), None, parts.Routes())
    with pytest.raises(UcmError) as refused:
        async with links.dial(Endpoint(Carrier.SERIAL, "/dev/null", "key", driver="nobody"), lambda _: None):
            pass
    assert refused.value.code is Code.LINK_DRIVER_UNUSABLE
