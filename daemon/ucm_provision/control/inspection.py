"""Looks at modules on the control socket: whether they are well, and what they hear. Nothing is changed."""

from __future__ import annotations

import msgspec
from aiohttp import web

from ucm_provision.control.routes import find, json_answer, json_request
from ucm_provision.core import policy
from ucm_provision.core.errors import explain
from ucm_provision.core.model import HeardNetwork
from ucm_provision.core.plan import WifiProfiles
from ucm_provision.core.wifi import bssid_text
from ucm_provision.engine.inspection import Inspection
from ucm_provision.engine.operator import Operator
from ucm_provision.engine.record import Record
from ucm_provision.wire import HeardView, InspectionAnswer, ModuleView, ScanAnswer


class _Verify(msgspec.Struct, forbid_unknown_fields=True):
    cables: bool = True


class InspectionRoutes:
    def __init__(self, inspection: Inspection, operator: Operator, profiles: WifiProfiles, record: Record) -> None:
        self._inspection = inspection
        self._operator = operator
        self._profiles = profiles
        self._record = record

    def add_to(self, app: web.Application) -> None:
        app.router.add_post("/v1/modules/{module:[^/]+}/verify", self._verify)
        app.router.add_post("/v1/modules/{module:[^/]+}/scan", self._scan)

    async def _verify(self, request: web.Request) -> web.Response:
        asked = await json_request(request, _Verify, policy.CONTROL_BODY_LARGEST)
        session = self._record.session(self._named(request)["session"])
        found = await self._inspection.look(session, cables=asked.cables)
        return json_answer(
            InspectionAnswer(
                module=self._record.view(self._record.session(session.id)),
                well=found.code is None,
                code=found.code.value if found.code else None,
                message=explain(found.code, found.detail) if found.code else None,
            )
        )

    async def _scan(self, request: web.Request) -> web.Response:
        heard = await self._operator.scan(self._named(request)["session"])
        known = {network.ssid for network in self._profiles.networks}
        return json_answer(ScanAnswer(networks=[_heard(network, known) for network in heard]))

    def _named(self, request: web.Request) -> ModuleView:
        return find(self._record.views(), request.match_info["module"])


def _heard(network: HeardNetwork, known: set[str]) -> HeardView:
    return HeardView(
        ssid=network.ssid,
        bssid=bssid_text(network.bssid),
        channel=network.channel,
        rssi_dbm=network.rssi_dbm,
        security=network.security,
        known=network.ssid in known,
    )
