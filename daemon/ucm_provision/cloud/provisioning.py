"""The client of the platform's provisioning API, version 3.

One attempt per call: whoever keeps the journal decides when to ask again.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from ucm_provision.cloud.address import api_root, origin
from ucm_provision.cloud.answers import parse_device, parse_site_id
from ucm_provision.cloud.calls import CALLS
from ucm_provision.cloud.refusals import refusal
from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import Connection, Device, Overrides, ProvisionArguments, Provisioned
from ucm_provision.core.secret import Secret
from ucm_provision.core.text import one_line

_EXPAND = "connectivity,communication,properties"
_NO_OVERRIDES = Overrides()


@dataclass(frozen=True, slots=True)
class Timing:
    """Deadlines of one call, in seconds."""

    connect: float = policy.API_CONNECT_DEADLINE
    call: float = policy.API_CALL_DEADLINE


class HttpProvisioningApi:
    """:class:`~ucm_provision.core.ports.ProvisioningApi` over HTTP. An asynchronous context manager.

    Args:
        base_url: Where the API is, with or without a path: ``https://api.enapter.com``,
            ``http://enapter-gateway.local/api``. ``/v3`` is appended.
        token: Asked before every request, so that a replaced token takes effect at once.
        user: The user on whose behalf the token acts, where the platform wants one.
        allow_http: Plain HTTP to something other than this box is wanted. Tells a Gateway so too.
        ca_file: A PEM file with the only CAs to trust, instead of the system's.
        ca: The same, as PEM text.
        overrides: What replaces parts of the connection that the API hands out.
        now: Seconds since the Unix epoch.

    Raises:
        UcmError: ``config_invalid``, for an address that is none or that a token must not be sent to;
            on entering, for a CA file that cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        token: Callable[[], Awaitable[Secret[str]]],
        *,
        user: str | None = None,
        allow_http: bool = False,
        ca_file: Path | None = None,
        ca: str = "",
        overrides: Overrides = _NO_OVERRIDES,
        timing: Timing = Timing(),
        now: Callable[[], float] = time.time,
    ) -> None:
        self._root = api_root(base_url, allow_http=allow_http)
        self._token = token
        self._user = user
        self._allow_http = allow_http and self._root.scheme == "http"
        self._ca_file = ca_file
        self._ca = ca
        self._overrides = overrides
        self._timing = timing
        self._now = now
        self._session: aiohttp.ClientSession | None = None

    @property
    def origin(self) -> str:
        """Scheme, host and port of the API: what the token and every device's record belong to."""
        return origin(self._root)

    async def __aenter__(self) -> Self:
        # A kept connection that the server has just closed fails a POST, which nobody repeats: use fresh ones.
        connector = aiohttp.TCPConnector(ssl=await _trust(self._ca_file, self._ca), force_close=True)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=self._timing.call, sock_connect=self._timing.connect),
        )
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def site_id(self) -> str:
        """The id of the one site that a Gateway has."""
        return parse_site_id(await self._call("GET", "site"))

    async def provision(self, arguments: ProvisionArguments) -> Provisioned:
        """Adds or re-adds a device, and applies the overrides to the connection that the API hands out."""
        call = CALLS[arguments.kind]
        body = await self._call("POST", call.path, json=call.body(arguments))
        # Loading an RSA key checks it, which is too long for the event loop of a small box.
        provisioned = await asyncio.to_thread(call.parse, body, arguments)
        if provisioned.connection is None:
            return provisioned
        return replace(provisioned, connection=_overridden(provisioned.connection, self._overrides))

    async def device(self, device_id: str) -> Device | None:
        """The device's record with its connectivity and properties, or None when the API does not know it."""
        path = f"devices/{quote(device_id, safe='')}?expand={_EXPAND}"
        try:
            return parse_device(await self._call("GET", path, missing_is_failure=False))
        except _DeviceUnknownError:
            return None

    async def rename(self, device_id: str, *, name: str | None = None, slug: str | None = None) -> Device:
        """Gives a device another name or slug. The platform allows that to an OWNER only (v3 reference, devices)."""
        path = f"devices/{quote(device_id, safe='')}"
        try:
            return parse_device(await self._call("PATCH", path, json={"name": name, "slug": slug}))
        except UcmError as error:
            if error.code is not Code.API_UNAUTHORIZED:
                raise
            # A token that was good for provisioning lacks a right: no reason to pause every module.
            raise UcmError(Code.API_REJECTED, error.detail) from None

    async def _call(
        self, method: str, path: str, *, json: Mapping[str, object] | None = None, missing_is_failure: bool = True
    ) -> bytes:
        token = await self._token()
        url = URL(f"{self._root}{path}", encoded=True)
        try:
            async with self._open().request(
                method, url, json=json, headers=self._headers(token), allow_redirects=False
            ) as response:
                if response.status == 404 and not missing_is_failure:
                    raise _DeviceUnknownError
                return await self._body(response, token)
        except aiohttp.ClientSSLError as error:
            raise UcmError(Code.API_TLS, _reason(error, token)) from None
        except (TimeoutError, aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
            raise UcmError(Code.API_UNREACHABLE, _reason(error, token)) from None
        except aiohttp.ClientError as error:
            raise UcmError(Code.API_ANSWER_INVALID, f"no HTTP: {_reason(error, token)}") from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the API client is used outside its context")
        return self._session

    def _headers(self, token: Secret[str]) -> dict[str, str]:
        text = token.reveal()
        if not text.isascii() or not text.isprintable() or not text.strip():
            raise UcmError(Code.API_UNAUTHORIZED, "the token is empty, or holds characters that no token has")
        headers = {"X-Enapter-Auth-Token": text}
        if self._user:
            headers["X-Enapter-Auth-User"] = self._user
        if self._allow_http:
            headers["X-Enapter-Allow-HTTP"] = "true"
        return headers

    async def _body(self, response: aiohttp.ClientResponse, token: Secret[str]) -> bytes:
        if not 200 <= response.status < 300:
            beginning = await _read(response, policy.API_REFUSAL_LARGEST)
            raise refusal(response.status, response.headers, beginning, token=token, now=self._now())
        body = await _read(response, policy.API_BODY_LARGEST + 1)
        if len(body) > policy.API_BODY_LARGEST:
            raise UcmError(Code.API_ANSWER_INVALID, f"more than {policy.API_BODY_LARGEST} bytes")
        return body


class _DeviceUnknownError(Exception):
    pass


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body, or its first ``limit`` bytes if it is longer."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) >= limit:
            break
    return bytes(body[:limit])


async def _trust(ca_file: Path | None, ca: str) -> ssl.SSLContext | bool:
    """Where no CA is named aiohttp's own context, which trusts the system's: a second one is a megabyte."""
    if ca_file is None and not ca:
        return True
    try:
        return await asyncio.to_thread(ssl.create_default_context, cafile=ca_file, cadata=ca or None)
    except OSError as error:  # ssl.SSLError is one
        raise UcmError(Code.CONFIG_INVALID, f"api.ca_file: {error.strerror or error.__class__.__name__}") from None


def _overridden(connection: Connection, overrides: Overrides) -> Connection:
    return replace(
        connection,
        mqtt_host=overrides.mqtt_host or connection.mqtt_host,
        mqtt_port=overrides.mqtt_port or connection.mqtt_port,
        time_source=overrides.time_source or connection.time_source,
    )


def _reason(error: Exception, token: Secret[str]) -> str:
    text = str(error) or ("no answer in time" if isinstance(error, TimeoutError) else error.__class__.__name__)
    return one_line(text.replace(token.reveal(), "<secret>"), policy.API_DETAIL_LARGEST)
