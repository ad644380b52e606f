"""The site's Wi-Fi networks on the control socket. Passphrases go in and never come out."""

from __future__ import annotations

import msgspec
import structlog
from aiohttp import web

from ucm_provision.control.peer import actor
from ucm_provision.control.routes import json_answer, json_request
from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import WifiNetwork
from ucm_provision.core.secret import Secret
from ucm_provision.core.wifi import bssid_text, check_passphrase, check_ssid, parse_bssid
from ucm_provision.site.wifi import Profiles
from ucm_provision.wire import WifiNetworkView, WifiView

log = structlog.get_logger()


class _Add(msgspec.Struct, forbid_unknown_fields=True):
    ssid: str
    passphrase: str = ""
    hidden: bool = False
    bssid: str = ""
    first: bool = False


class _Named(msgspec.Struct, forbid_unknown_fields=True):
    ssid: str


class WifiRoutes:
    """Every change answers with the list that follows from it."""

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/v1/wifi", self._show)
        app.router.add_post("/v1/wifi/add", self._add)
        app.router.add_post("/v1/wifi/prefer", self._prefer)
        app.router.add_post("/v1/wifi/drop", self._drop)
        app.router.add_post("/v1/wifi/reset", self._reset)

    async def _show(self, _: web.Request) -> web.Response:
        return json_answer(wifi_view(self._profiles))

    async def _add(self, request: web.Request) -> web.Response:
        asked = await json_request(request, _Add, policy.CONTROL_BODY_LARGEST)
        await self._profiles.add(_network(asked), first=asked.first)
        return self._changed(request)

    async def _prefer(self, request: web.Request) -> web.Response:
        asked = await json_request(request, _Named, policy.CONTROL_BODY_LARGEST)
        await self._profiles.prefer(asked.ssid)
        return self._changed(request)

    async def _drop(self, request: web.Request) -> web.Response:
        asked = await json_request(request, _Named, policy.CONTROL_BODY_LARGEST)
        await self._profiles.drop(asked.ssid)
        return self._changed(request)

    async def _reset(self, request: web.Request) -> web.Response:
        await self._profiles.reset()
        return self._changed(request)

    def _changed(self, request: web.Request) -> web.Response:
        view = wifi_view(self._profiles)
        ssids = [network["ssid"] for network in view["networks"]]
        log.info("wifi networks changed", by=actor(request), networks=ssids, chosen_by=view["chosen_by"])
        return json_answer(view)


def wifi_view(profiles: Profiles) -> WifiView:
    """The list as everybody who may ask sees it."""
    return WifiView(
        networks=[_view(network) for network in profiles.networks],
        chosen_by="operator" if profiles.chosen_by_operators else "configuration",
        configured=[network.ssid for network in profiles.configured],
    )


def _view(network: WifiNetwork) -> WifiNetworkView:
    return WifiNetworkView(
        ssid=network.ssid,
        open=not network.passphrase,
        hidden=network.hidden,
        bssid=bssid_text(network.bssid) if network.bssid else None,
    )


def _network(asked: _Add) -> WifiNetwork:
    try:
        return WifiNetwork(
            check_ssid(asked.ssid),
            check_passphrase(asked.passphrase) if asked.passphrase else Secret(""),
            asked.hidden,
            parse_bssid(asked.bssid) if asked.bssid else b"",
        )
    except ValueError as error:
        raise UcmError(Code.WIFI_INVALID, str(error)) from None
