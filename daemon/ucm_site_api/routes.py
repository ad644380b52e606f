"""Every call of the API under one prefix, and the document that describes them."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from aiohttp import web

from ucm_site_api import device_calls, provisioning_calls, site_calls
from ucm_site_api.answers import answer
from ucm_site_api.openapi import document
from ucm_site_api.operations import Call, Operation, ids_in
from ucm_site_api.requests import read_body, require_role

log = structlog.get_logger("ucm_site_api.audit")

OPERATIONS: tuple[Operation, ...] = (
    *provisioning_calls.OPERATIONS,
    *device_calls.OPERATIONS,
    *site_calls.OPERATIONS,
)


def add_routes(app: web.Application, prefix: str) -> None:
    """All calls under one prefix."""
    described = document(OPERATIONS, prefix)

    async def openapi(_: web.Request) -> web.Response:
        return answer(described)

    app.router.add_get(f"{prefix}/openapi.json", openapi)
    for operation in OPERATIONS:
        app.router.add_route(operation.method, prefix + operation.path, _handler(operation))
        if operation.method == "GET":
            app.router.add_route("HEAD", prefix + operation.path, _handler(operation))


def _handler(operation: Operation) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        require_role(request, operation.least)
        call = Call(request)
        arguments = () if operation.body is None else (await read_body(request, operation.body),)
        answered = await operation.run(call, *arguments)
        if operation.changes:
            _audit(operation, request, call, arguments, answered)
        return answer(answered)

    return handle


def _audit(
    operation: Operation, request: web.Request, call: Call, arguments: tuple[msgspec.Struct, ...], answered: Any
) -> None:
    """One line for each change. What goes in has no secrets; of what comes out only ids are written."""
    given = {name: value for body in arguments for name, value in msgspec.to_builtins(body).items()}
    # As one value: logs for people print texts as they are, and the texts inside of others escaped.
    about = {**request.match_info, **{name: value for name, value in given.items() if value}, **ids_in(answered)}
    log.info(operation.name, token=call.bearer.id, role=call.bearer.role, address=request.remote, about=about)
