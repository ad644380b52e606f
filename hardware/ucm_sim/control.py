"""The air of running modules, changed from outside: a Unix socket that takes JSON, a line for each request.

A request is an object with `do` and what that takes; the answer is `{"ok": ...}`, or `{"error": "a sentence"}`:

    {"do": "networks"}
    {"do": "add", "ssid": "new-wifi", "passphrase": "a passphrase", "rssi_dbm": -60, "hidden": false}
    {"do": "off", "ssid": "plant-wifi"}                             and "on"
    {"do": "passphrase", "ssid": "plant-wifi", "passphrase": "another"}
    {"do": "out-of-range", "ssid": "plant-wifi", "modules": "1/10"}  and "in-range"
    {"do": "rssi", "ssid": "plant-wifi", "rssi_dbm": -85, "modules": "#3"}
    {"do": "power-off", "modules": "C8795CBA"}                      and "power-on"
    {"do": "modules", "modules": "all"}

`modules` is who is meant: `all`, which is also meant where nothing is said; `1/10` for every tenth; `#3` for the third;
or the beginning of a hardware id. No answer waits for what the modules make of it, and none holds a passphrase.
"""

import asyncio
import contextlib
import json
import os
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import msgspec

from ucm_sim.air import Network, UnknownNetworkError
from ucm_sim.lan_fleet import LanFleet
from ucm_sim.lan_module import LanModule

Facts: TypeAlias = dict[str, Any]

_ONLY_ITS_OWNER = 0o177
_DEADLINE_S = 10.0


class ControlError(Exception):
    """The request cannot be carried out; the text says why."""


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """One line, whatever it asks for."""

    do: str
    ssid: str = ""
    passphrase: str = ""
    rssi_dbm: int = -58
    hidden: bool = False
    modules: str = "all"


class Control:
    """Takes requests for a fleet while it is entered; raises OSError where the socket cannot be made."""

    def __init__(self, path: Path, fleet: LanFleet) -> None:
        self._path = path
        self._fleet = fleet
        self._air = fleet.air
        self._server: asyncio.Server | None = None
        self._actions: Mapping[str, Callable[[Request], Awaitable[object] | object]] = {
            "networks": lambda _: [network_facts(network) for network in self._air.networks],
            "add": lambda request: self._air.add(_network(request)),
            "on": lambda request: self._air.switch_on(request.ssid),
            "off": lambda request: self._air.switch_off(request.ssid),
            "passphrase": lambda request: self._air.change_passphrase(request.ssid, request.passphrase),
            "in-range": lambda request: self._each(request, lambda one: one.radio.enter_range(request.ssid)),
            "out-of-range": lambda request: self._each(request, lambda one: one.radio.leave_range(request.ssid)),
            "rssi": lambda request: self._each(request, lambda one: one.radio.set_rssi(request.ssid, request.rssi_dbm)),
            "power-on": lambda request: self._power(request, LanModule.power_on),
            "power-off": lambda request: self._power(request, LanModule.power_off),
            "modules": lambda request: [module_facts(module) for module in self._meant(request)],
        }

    async def __aenter__(self) -> Self:
        before = os.umask(_ONLY_ITS_OWNER)
        try:
            self._server = await asyncio.start_unix_server(self._serve, self._path)
        finally:
            os.umask(before)
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _raised: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError):
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def _answer(self, line: bytes) -> Facts:
        try:
            return {"ok": await self._carry_out(msgspec.json.decode(line, type=Request))}
        except (ControlError, UnknownNetworkError, msgspec.DecodeError) as failure:
            return {"error": str(failure)}

    async def _carry_out(self, request: Request) -> object:
        if request.do not in self._actions:
            raise ControlError(f"unknown: {request.do!r}; known: {', '.join(self._actions)}")
        done = self._actions[request.do](request)
        return await done if isinstance(done, Awaitable) else done

    def _meant(self, request: Request) -> list[LanModule]:
        return chosen(self._fleet.modules, request.modules)

    def _each(self, request: Request, change: Callable[[LanModule], None]) -> int:
        meant = self._meant(request)
        for module in meant:
            change(module)
        return len(meant)

    async def _power(self, request: Request, switch: Callable[[LanModule], Awaitable[None]]) -> int:
        meant = self._meant(request)
        await asyncio.gather(*map(switch, meant))
        return len(meant)


def chosen(modules: list[LanModule], words: str) -> list[LanModule]:
    """The modules that are meant by `all`, `1/10`, `#3` or the beginning of an id; raises ControlError."""
    if words == "all":
        return modules
    if share := re.fullmatch(r"1/([1-9]\d{0,5})", words):
        return modules[int(share[1]) - 1 :: int(share[1])]
    if place := re.fullmatch(r"#([1-9]\d{0,5})", words):
        meant = modules[int(place[1]) - 1 : int(place[1])]
    else:
        meant = [module for module in modules if words and module.identity.hardware_id.startswith(words.upper())]
    if not meant:
        raise ControlError(f"no module is {words!r}: say all, 1/10, #3 or how its hardware id begins")
    return meant


def network_facts(network: Network) -> Facts:
    """What there is to know of a network but its passphrase."""
    return {
        "ssid": network.ssid,
        "on": network.is_on,
        "rssi_dbm": network.rssi_dbm,
        "hidden": network.hidden,
        "bssid": network.bssid.hex(":"),
        "address": network.segment.address if network.segment else None,
    }


def module_facts(module: LanModule) -> Facts:
    """How a module is at this moment."""
    return {
        "id": module.identity.hardware_id,
        "powered": module.is_powered,
        "state": module.state_name,
        "phase": module.phase_name,
        "reason": module.reason_name,
        "ssid": module.ssid,
        "rssi_dbm": module.radio.rssi_dbm(module.ssid),
        "address": f"{module.address}:{module.port}",
        "listening": module.is_listening,
        "generation": module.live_generation,
        "active": module.active_generation,
        "trial": module.trial_generation,
        "boots": module.boots,
        "begins": module.executed("begin"),
        "commits": module.executed("commit"),
    }


def ask(path: Path, requests: Iterable[Mapping[str, object]]) -> list[Any]:
    """Send requests in their order and return what is `ok` in the answers; blocks for 10 s at most for each.

    Raises ControlError for the first that is refused, OSError where nobody answers.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_DEADLINE_S)
        connection.connect(str(path))
        with connection.makefile("rwb") as lines:
            return [_exchange(lines, request) for request in requests]


def _exchange(lines: Any, request: Mapping[str, object]) -> Any:
    lines.write(json.dumps(request).encode() + b"\n")
    lines.flush()
    answer = json.loads(lines.readline() or '{"error": "the modules are gone"}')
    if "error" in answer:
        raise ControlError(answer["error"])
    return answer["ok"]


def _network(request: Request) -> Network:
    if not request.ssid:
        raise ControlError("add wants an ssid")
    return Network(request.ssid, request.passphrase, request.rssi_dbm, request.hidden)
