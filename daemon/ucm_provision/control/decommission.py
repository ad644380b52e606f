"""Modules that leave the site, on the control socket."""

from __future__ import annotations

import msgspec
from aiohttp import web

from ucm_provision.control.peer import actor
from ucm_provision.control.routes import find, json_answer, json_request
from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.engine.decommission import Decommission, Wipe
from ucm_provision.engine.record import Record
from ucm_provision.wire import ForgetAnswer


class _Forget(msgspec.Struct, forbid_unknown_fields=True):
    wipe: bool = False
    force: bool = False


class DecommissionRoutes:
    def __init__(self, decommission: Decommission, record: Record) -> None:
        self._decommission = decommission
        self._record = record

    def add_to(self, app: web.Application) -> None:
        app.router.add_post("/v1/modules/{module:[^/]+}/forget", self._forget)

    async def _forget(self, request: web.Request) -> web.Response:
        asked = await json_request(request, _Forget, policy.CONTROL_BODY_LARGEST)
        if asked.force and not asked.wipe:
            raise UcmError(Code.REQUEST_INVALID, "force without wipe")
        module = find(self._record.views(), request.match_info["module"])
        session = self._record.session(module["session"])
        await self._decommission.forget(session, actor(request), Wipe(asked.force) if asked.wipe else None)
        return json_answer(ForgetAnswer(module=module, wiped=asked.wipe, listed=self._decommission.is_listed(session)))
