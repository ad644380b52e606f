"""The HTTP application: what holds for every call, whatever it does."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

import structlog
from aiohttp import web

from ucm_site_api.answers import answer
from ucm_site_api.brokers import Broker
from ucm_site_api.errors import ApiError, error_response, translated
from ucm_site_api.limits import RateLimit
from ucm_site_api.presence import Presence
from ucm_site_api.provisioning import Provisioner
from ucm_site_api.random_secrets import digest_of
from ucm_site_api.records import Token
from ucm_site_api.registry import Registry

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

TOKEN_HEADER = "X-Enapter-Auth-Token"  # noqa: S105 -- the name of a header, not a token

# The largest body of a call here is a few hundred bytes.
MAX_BODY_BYTES = 64 * 1024


@dataclass(frozen=True)
class Services:
    """What calls are answered from."""

    registry: Registry
    provisioner: Provisioner
    broker: Broker
    presence: Presence
    rate_limit: RateLimit
    now: Callable[[], datetime]


SERVICES = web.AppKey("services", Services)
BEARER = web.RequestKey("bearer", Token)

# The root has nothing but the time; the document says what anybody can read elsewhere.
_PREFIXES = ("/v3", "/api/v3")
_OPEN = frozenset({"/", *(f"{prefix}/openapi.json" for prefix in _PREFIXES)})


def build_application(services: Services, routes: Callable[[web.Application, str], None]) -> web.Application:
    """The API under the cloud's prefix and the Gateway's, and the time source at the root."""
    app = web.Application(middlewares=[_with_envelope, _with_token], client_max_size=MAX_BODY_BYTES)
    app[SERVICES] = services
    app.on_response_prepare.append(_name_server)
    app.router.add_get("/", _time_source)  # HEAD too
    for prefix in _PREFIXES:
        routes(app, prefix)
    return app


@web.middleware
async def _with_envelope(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        return error_response(error)
    except web.HTTPError as error:
        return error_response(translated(error))
    except Exception:
        log.exception("call failed", method=request.method, path=request.path)
        return error_response(ApiError(500, "internal_error", "The server failed; its log says why."))


@web.middleware
async def _with_token(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.match_info.http_exception is None and request.path not in _OPEN:  # unknown routes say so to anybody
        request[BEARER] = await _bearer(request)
    return await handler(request)


async def _bearer(request: web.Request) -> Token:
    token = request.headers.get(TOKEN_HEADER)
    if not token:
        raise ApiError(401, "invalid_header", "Authentication token is missing.", {"header": TOKEN_HEADER})
    services = request.app[SERVICES]
    bearer = await services.registry.token(digest_of(token))
    if bearer is None:
        raise ApiError(403, "invalid_header", "Authentication token is invalid.", {"header": TOKEN_HEADER})
    services.rate_limit.take(bearer.id)
    return bearer


async def _time_source(request: web.Request) -> web.Response:
    # Firmware without NTP reads the Date header; it is the one that certificates are judged by.
    now = request.app[SERVICES].now()
    return answer({"service": "ucm-site-api"}, headers={"Date": format_datetime(now, usegmt=True)})


async def _name_server(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "ucm-site-api"
