"""What is served over TCP on this box: reading only, and only for pages of this box itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from ucm_provision.control.api import ControlApi, error_answer, error_answers
from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError

# Names of this box that no name server gives out. A page from elsewhere that made its own name lead here
# (DNS rebinding) comes with that name.
_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


def reading(api: ControlApi) -> web.Application:
    app = web.Application(middlewares=[error_answers, _guard], client_max_size=policy.CONTROL_BODY_LARGEST)
    app.on_response_prepare.append(_add_headers)
    api.add_reading_to(app)
    return app


@web.middleware
async def _guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
    if _without_port(host) not in _HOSTS or origin not in (None, f"http://{host}"):
        return error_answer(UcmError(Code.REQUEST_INVALID, "it is not asked from a page of this box"), 403)
    return await handler(request)


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return name if name and port.isdigit() else host


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """What an answer says of itself stays: a report has its own style, and says so."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
