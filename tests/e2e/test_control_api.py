"""docs/CONTROL-API.md says what the daemon really answers to, and with which keys."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
from pathlib import Path
from typing import Any, get_type_hints, is_typeddict

import msgspec
import pytest

from tests.e2e.lan import at_rest
from tests.e2e.station import REPOSITORY, DaemonProcess, Station, ucmctl
from ucm_provision import documents, wire
from ucm_provision.cli.client import ControlClient
from ucm_provision.control.places import InvitationRoutes
from ucm_provision.control.sessions import PageSessions
from ucm_provision.doctor import shapes as doctor_shapes

DOCUMENT = (REPOSITORY / "docs" / "CONTROL-API.md").read_text()


async def test_every_request_stands_in_the_document_and_no_other(station: Station) -> None:
    async with station.daemon() as running:
        invitations = InvitationRoutes(PageSessions(time.monotonic), [], list, None)
        routes = running.daemon.answers().api.application(invitations).router.routes()
        served = {(route.method, _plain(route.resource.canonical)) for route in routes if route.resource}
    documented = set(re.findall(r"^\| `(GET|POST) (/[^`]+)` \|", DOCUMENT, re.MULTILINE))
    assert documented == {(method, path) for method, path in served if method != "HEAD"}


def _plain(path: str) -> str:
    return re.sub(r"{(\w+)(:[^}]*)?}", lambda found: found[1].upper(), path)


def test_the_shapes_are_those_of_the_code() -> None:
    assert subprocess.run([REPOSITORY / "tools" / "control-api", "--check"], check=False).returncode == 0


def test_every_link_leads_to_a_shape() -> None:
    shapes = {name.lower() for name in re.findall(r"^### (\w+)$", DOCUMENT, re.MULTILINE)}
    assert set(re.findall(r"\]\(#(\w+)\)", DOCUMENT)) <= shapes
    declared = [each for module in (wire, documents, doctor_shapes) for each in vars(module).values()]
    assert shapes == {each.__name__.lower() for each in declared if is_typeddict(each)}


ASKED = {
    "status": wire.StatusView,
    "modules": wire.ModuleList,
    "wifi": wire.WifiView,
    "campaigns": wire.CampaignList,
    "orders": wire.OrderList,
    "manifest": wire.ManifestText,
    "api": wire.ApiChoice,
}


async def test_real_answers_have_the_shapes_and_nothing_else(station: Station) -> None:
    async with station.daemon_process() as daemon, station.module():
        await daemon.answering()
        (module,) = await _verified(daemon)
        for shape, answer in await asyncio.to_thread(_asked, str(station.socket), module["session"]):
            _demand(answer, shape)
        status, said = await ucmctl(station.socket, "manifest", "template", "--json")
        assert (status, said.strip()) == (0, '{\n  "lines": []\n}')


def _asked(socket: str, session: str) -> list[tuple[type, Any]]:
    """What a program gets to read, last of all that the module is forgotten."""
    client = ControlClient(socket)
    answers: list[tuple[type, Any]] = [(shape, client.get(path)) for path, shape in ASKED.items()]
    answers.append((wire.ModuleDetail, client.get("modules", session)))
    told = {"identify": wire.ModuleAnswer, "verify": wire.InspectionAnswer, "forget": wire.ForgetAnswer}
    return [*answers, *((shape, client.post("modules", session, what, body={})) for what, shape in told.items())]


async def _verified(daemon: DaemonProcess) -> list[wire.ModuleView]:
    return await daemon.until(lambda modules: [module for module in modules if at_rest(module)])


def _demand(answer: Any, shape: type) -> None:
    """Right down to the last key: none is missing, none is there that no document has."""
    msgspec.convert(answer, shape, strict=True)
    assert set(answer) == set(get_type_hints(shape)), shape.__name__
    modules = answer["modules"] if shape is wire.ModuleList else [answer["module"]] if "module" in answer else []
    assert all(set(module) == set(get_type_hints(wire.ModuleView)) for module in modules)


@pytest.mark.parametrize("name", ["README.md", "docs/OPERATIONS.md"])
def test_the_manuals_lead_to_it(name: str) -> None:
    assert "CONTROL-API.md" in (Path(REPOSITORY) / name).read_text()
