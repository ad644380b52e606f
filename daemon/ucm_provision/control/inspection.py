"""Looks at verified modules on the control socket."""

from __future__ import annotations

import msgspec
from aiohttp import web

from ucm_provision.control.routes import find, json_answer, json_request
from ucm_provision.core import policy
from ucm_provision.core.errors import explain
from ucm_provision.engine.inspection import Inspection
from ucm_provision.engine.record import Record
from ucm_provision.wire import InspectionAnswer


class _Verify(msgspec.Struct, forbid_unknown_fields=True):
    cables: bool = True


class InspectionRoutes:
    def __init__(self, inspection: Inspection, record: Record) -> None:
        self._inspection = inspection
        self._record = record

    def add_to(self, app: web.Application) -> None:
        app.router.add_post("/v1/modules/{module:[^/]+}/verify", self._verify)

    async def _verify(self, request: web.Request) -> web.Response:
        module = find(self._record.views(), request.match_info["module"])
        session = self._record.session(module["session"])
        asked = await json_request(request, _Verify, policy.CONTROL_BODY_LARGEST)
        found = await self._inspection.look(session, cables=asked.cables)
        return json_answer(
            InspectionAnswer(
                module=self._record.view(self._record.session(session.id)),
                well=found.code is None,
                code=found.code.value if found.code else None,
                message=explain(found.code, found.detail) if found.code else None,
            )
        )
