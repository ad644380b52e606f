"""Reading requests: bodies and queries, judged before anything is done."""

import asyncio
import re
from typing import TypeVar

import msgspec
from aiohttp import web

from ucm_site_api.app import BEARER, MAX_BODY_BYTES
from ucm_site_api.errors import ApiError, invalid_field
from ucm_site_api.messages import Role
from ucm_site_api.records import ROLES

T = TypeVar("T")

# A body of a few hundred bytes from a laptop on the same network.
_BODY_SECONDS = 30.0

_DEFAULT_LIMIT = 50
_MAX_LIMIT = 1000
_LARGEST_OFFSET = 2**62  # SQLite's integers end a little above

_MISSING_FIELD = re.compile(r"missing required field `(?P<field>[^`]+)`")
_PATH = re.compile(r" - at `(?P<path>\$[^`]*)`$")


async def read_body(request: web.Request, shape: type[T]) -> T:
    """The body as JSON, whatever its content type says: `curl -d` calls it a form.

    Raises:
        ApiError: 400 not JSON or not of this shape, 408 too slow, 413 too large.
    """
    try:
        # A length that is announced is judged before a single byte is read.
        if (request.content_length or 0) > MAX_BODY_BYTES:
            raise web.HTTPRequestEntityTooLarge(MAX_BODY_BYTES, request.content_length or 0)
        async with asyncio.timeout(_BODY_SECONDS):
            body = await request.read()
        return msgspec.json.decode(body, type=shape)
    except TimeoutError as cause:
        raise web.HTTPRequestTimeout from cause
    except web.RequestPayloadError as cause:
        raise ApiError(400, "invalid_request", "The body cannot be read.") from cause
    except msgspec.ValidationError as cause:
        raise _at_its_path(str(cause)) from cause
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
        raise ApiError(400, "invalid_request", "The body is not JSON.") from cause


def require_role(request: web.Request, least: Role) -> None:
    """Refuse a token whose role is below `least`.

    Raises:
        ApiError: 403.
    """
    if ROLES.index(request[BEARER].role) < ROLES.index(least):
        raise ApiError(403, "forbidden", "Access denied.", {"required_role": least})


def expansions(request: web.Request) -> frozenset[str]:
    """The words of `expand`, known or not; the platform's clients send it empty, too."""
    return frozenset(word.strip() for word in request.query.get("expand", "").split(",") if word.strip())


def window(request: web.Request) -> tuple[int, int]:
    """`offset` and `limit` of a list.

    Raises:
        ApiError: 400 not a number, or negative.
    """
    offset = min(_count(request, "offset", 0), _LARGEST_OFFSET)
    return offset, min(_count(request, "limit", _DEFAULT_LIMIT), _MAX_LIMIT)


def _count(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise ApiError(400, "invalid_query_parameter_format", f"{name} is a number from 0 on.", {"parameter": name})
    return int(text)


def _at_its_path(reason: str) -> ApiError:
    located = _PATH.search(reason)
    path = located["path"] if located else "$"
    missing = _MISSING_FIELD.search(reason)
    if missing:
        path = f"{path}.{missing['field']}"
    return invalid_field(path, _PATH.sub("", reason) + ".")
