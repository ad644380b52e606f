"""The control socket: the daemon's public interface, HTTP and JSON over a Unix socket.

Its shapes are those of :mod:`ucm_provision.wire`. Who may connect, and so who may ask for anything, is
decided by the socket's mode and group alone; the journal keeps who it was.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import msgspec
import structlog
from aiohttp import web

from ucm_provision.control.events import EventStreams, News
from ucm_provision.control.peer import actor
from ucm_provision.control.routes import Routes, find, json_answer, json_request
from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import ProofOfPossession
from ucm_provision.core.secret import Secret
from ucm_provision.engine.operator import Operator
from ucm_provision.engine.record import Record
from ucm_provision.wire import (
    ErrorAnswer,
    ErrorBody,
    ModuleAnswer,
    ModuleDetail,
    ModuleList,
    ModuleView,
    StatusView,
    TimelineEntry,
)

log = structlog.get_logger()

Status = Callable[[], StatusView]
Timeline = Callable[[str], Awaitable[list[TimelineEntry]]]

_STATUS_CODES = {404: Code.REQUEST_INVALID, 405: Code.REQUEST_INVALID}


class ControlApi:
    """Answers what the daemon knows, streams what changes, and passes on what an operator asks.

    ``more``: further parts of the API. ``readable``: those of them that change nothing and hold no secret.
    """

    def __init__(
        self,
        status: Status,
        record: Record,
        timeline: Timeline,
        operator: Operator,
        news: News,
        *,
        more: Sequence[Routes] = (),
        readable: Sequence[Routes] = (),
    ) -> None:
        self._status = status
        self._record = record
        self._timeline = timeline
        self._operator = operator
        self._events = EventStreams(news)
        self._more = more
        self._readable = readable

    def application(self, *more: Routes) -> web.Application:
        """Everything, for whoever may open the control socket."""
        app = web.Application(middlewares=[error_answers], client_max_size=policy.CONTROL_BODY_LARGEST)
        self.add_reading_to(app)
        self.add_acting_to(app)
        for routes in (*self._more, *more):
            routes.add_to(app)
        return app

    def add_reading_to(self, app: web.Application) -> None:
        """What may be shown to whoever can see the page: it changes nothing, and holds no secret."""
        app.on_shutdown.append(self._events.end)
        app.router.add_get("/v1/status", self._get_status)
        app.router.add_get("/v1/events", self._events.answer)
        app.router.add_get("/v1/modules", self._get_modules)
        # Spelt out, because aiohttp's own pattern takes no braces, and a module may be named "Tank {1}".
        app.router.add_get("/v1/modules/{module:[^/]+}", self._get_module)
        for routes in self._readable:
            routes.add_to(app)

    def add_acting_to(self, app: web.Application) -> None:
        """What may be asked of modules."""
        app.router.add_post("/v1/modules/{module:[^/]+}/retry", self._retry)
        app.router.add_post("/v1/modules/{module:[^/]+}/approve", self._approve)
        app.router.add_post("/v1/modules/{module:[^/]+}/name", self._name)
        app.router.add_post("/v1/modules/{module:[^/]+}/cancel", self._cancel)
        app.router.add_post("/v1/modules/{module:[^/]+}/identify", self._identify)
        app.router.add_post("/v1/modules/{module:[^/]+}/reprovision", self._reprovision)

    async def _get_status(self, _: web.Request) -> web.Response:
        return json_answer(self._status())

    async def _get_modules(self, request: web.Request) -> web.Response:
        state = request.query.get("state", "").upper()
        modules = [module for module in self._record.views() if state in ("", module["milestone"])]
        return json_answer(ModuleList(modules=modules))

    async def _get_module(self, request: web.Request) -> web.Response:
        module = self._named(request)
        return json_answer(ModuleDetail(module=module, timeline=await self._timeline(module["session"])))

    async def _retry(self, request: web.Request) -> web.Response:
        return self._module(await self._operator.retry(self._named(request)["session"], actor(request)))

    async def _approve(self, request: web.Request) -> web.Response:
        session_id = self._named(request)["session"]
        asked = _approval(await request.read())
        await self._operator.approve(session_id, _proof(asked), actor(request), name=asked.name)
        return self._module(session_id)

    async def _name(self, request: web.Request) -> web.Response:
        asked = await json_request(request, _Name, policy.CONTROL_BODY_LARGEST)
        session_id = self._named(request)["session"]
        await self._operator.name(session_id, asked.name, actor(request))
        return self._module(session_id)

    async def _cancel(self, request: web.Request) -> web.Response:
        session_id = self._named(request)["session"]
        await self._operator.cancel(session_id, actor(request))
        return self._module(session_id)

    async def _identify(self, request: web.Request) -> web.Response:
        asked = await json_request(request, _Identify, policy.CONTROL_BODY_LARGEST)
        session_id = self._named(request)["session"]
        await self._operator.identify(session_id, asked.seconds)
        return self._module(session_id)

    async def _reprovision(self, request: web.Request) -> web.Response:
        return self._module(await self._operator.reprovision(self._named(request)["session"], actor(request)))

    def _named(self, request: web.Request) -> ModuleView:
        return find(self._record.views(), request.match_info["module"])

    def _module(self, session_id: str) -> web.Response:
        return json_answer(ModuleAnswer(module=self._record.view(self._record.session(session_id))))


def _approval(body: bytes) -> _Approval:
    """No error ever repeats what it holds."""
    try:
        return msgspec.json.decode(body or b"{}", type=_Approval)
    except msgspec.DecodeError:
        raise UcmError(Code.REQUEST_INVALID, "expected a JSON object with pop, username and name as strings") from None


def _proof(request: _Approval) -> ProofOfPossession | None:
    """The proof of possession in an approval, if one is given."""
    if not request.pop:
        return None
    if len(request.pop) > policy.POP_LONGEST or not 0 < len(request.username) <= policy.POP_LONGEST:
        raise UcmError(Code.REQUEST_INVALID, f"pop and username have at most {policy.POP_LONGEST} characters")
    return ProofOfPossession(Secret(request.pop), request.username)


# One line, and no spaces around it.
_NAME = r"\A\S([^\x00-\x1f\x7f]{0,126}\S)?\Z"


class _Name(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(pattern=_NAME, max_length=128)]


class _Approval(msgspec.Struct, forbid_unknown_fields=True):
    pop: str = ""
    username: str = "wifiprov"
    name: Annotated[str, msgspec.Meta(pattern=rf"{_NAME}|\A\Z", max_length=128)] = ""


class _Identify(msgspec.Struct, forbid_unknown_fields=True):
    seconds: Annotated[int, msgspec.Meta(ge=1, le=60)] = 10


@web.middleware
async def error_answers(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except UcmError as error:
        return error_answer(error)
    except web.HTTPException as error:
        return error_answer(UcmError(_STATUS_CODES.get(error.status, Code.INTERNAL), error.reason), error.status)
    except Exception:
        log.exception("control request failed", path=request.path)
        return error_answer(UcmError(Code.INTERNAL))


def error_answer(error: UcmError, status: int | None = None) -> web.Response:
    answer = ErrorAnswer(error=ErrorBody(code=error.code.value, message=str(error)))
    return json_answer(answer, status or error.failure.http_status)
