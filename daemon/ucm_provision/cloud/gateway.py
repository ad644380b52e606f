"""The provisioning API of the Gateway that an operator has accepted.

A Gateway announces itself on the LAN, and so may anybody. Nothing is sent to one before an operator has
named it and handed over a token for it; from then on its address is pinned, whatever is announced later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import structlog

from ucm_provision.cloud.provisioning import HttpProvisioningApi
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.hosts import is_loopback
from ucm_provision.core.model import Device, GatewaySighting, ProvisionArguments, Provisioned
from ucm_provision.core.secret import Secret
from ucm_provision.private_file import write_private

log = structlog.get_logger()

_HTTPS_PORT = 443


class _Accepted(msgspec.Struct, frozen=True):
    """What is kept, in one file, so that a token never stands beside another Gateway's address."""

    name: str
    url: str
    token: str
    ca: str = ""

    def __repr__(self) -> str:
        return f"_Accepted({self.name!r}, {self.url!r})"


# Makes the client for an address, its token and the only CA to trust ("": the system's), as PEM.
Connect = Callable[[str, Secret[str], str], HttpProvisioningApi]


class GatewayApi:
    """:class:`~ucm_provision.core.ports.ProvisioningApi` of the accepted Gateway; of none, until there is one.

    Args:
        file: Where the choice is kept, with mode 0600.
        allow_http: The operator consents to the token crossing the site's network in the clear.
    """

    def __init__(self, file: Path, connect: Connect, *, allow_http: bool) -> None:
        self._file = file
        self._connect = connect
        self._allow_http = allow_http
        self._accepted: _Accepted | None = None
        self._api: HttpProvisioningApi | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self._file.exists():
            await self._use(await asyncio.to_thread(_read, self._file))
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        """Where the accepted Gateway's API is; empty without one."""
        return self._accepted.url if self._accepted else ""

    @property
    def name(self) -> str:
        return self._accepted.name if self._accepted else ""

    async def accept(self, gateway: GatewaySighting, token: Secret[str], ca: str) -> None:
        """Pins the Gateway, once it has taken the token.

        Raises:
            UcmError: gateway_refused; nothing has changed then.
        """
        chosen = _Accepted(gateway.name, self._address(gateway, ca), token.reveal(), ca)
        try:
            async with self._client(chosen) as api:
                await api.site_id()
        except UcmError as error:
            raise UcmError(Code.GATEWAY_REFUSED, f"{chosen.url}: {error.code}: {error.detail}") from None
        await self._keep(chosen)
        await self._use(chosen)
        log.info("gateway accepted", name=gateway.name, url=chosen.url)

    def _address(self, gateway: GatewaySighting, ca: str) -> str:
        if ca:  # the certificate names the host, so the host's name it must be
            return f"https://{gateway.host}:{_HTTPS_PORT}/api"
        address = next(iter(gateway.addresses), "")
        if not self._allow_http and not is_loopback(address):
            detail = (
                "it speaks plain HTTP, in which a token can be read by everybody: set api.allow_http, or give its CA"
            )
            raise UcmError(Code.GATEWAY_REFUSED, detail)
        host = f"[{address}]" if ":" in address else address
        return f"http://{host}:{gateway.port}/api"

    async def _keep(self, chosen: _Accepted) -> None:
        try:
            await asyncio.to_thread(write_private, self._file, msgspec.json.encode(chosen).decode())
        except OSError as error:
            raise UcmError(Code.GATEWAY_REFUSED, f"{self._file}: {error.strerror}") from error

    async def _use(self, chosen: _Accepted) -> None:
        stack, self._stack = self._stack, AsyncExitStack()
        self._api = await self._stack.enter_async_context(self._client(chosen))
        self._accepted = chosen
        await stack.aclose()

    def _client(self, chosen: _Accepted) -> HttpProvisioningApi:
        return self._connect(chosen.url, Secret(chosen.token), chosen.ca)

    # ---- the API -----------------------------------------------------------------------------------

    @property
    def origin(self) -> str:
        return self._api.origin if self._api else ""

    async def site_id(self) -> str:
        return await self._chosen().site_id()

    async def provision(self, arguments: ProvisionArguments) -> Provisioned:
        return await self._chosen().provision(arguments)

    async def device(self, device_id: str) -> Device | None:
        return await self._chosen().device(device_id)

    async def rename(self, device_id: str, *, name: str | None = None, slug: str | None = None) -> Device:
        return await self._chosen().rename(device_id, name=name, slug=slug)

    def _chosen(self) -> HttpProvisioningApi:
        if self._api is None:
            raise UcmError(Code.API_NOT_CHOSEN)
        return self._api


def _read(file: Path) -> _Accepted:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Accepted)
    except (OSError, msgspec.DecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not what ucmctl api accept wrote"
        raise UcmError(Code.CONFIG_INVALID, f"{file}: {why}. Remove it, and accept the Gateway again") from error


def find_gateway(gateways: Sequence[GatewaySighting], wanted: str) -> GatewaySighting:
    """The Gateway that a person means by its name, host or address.

    Raises:
        UcmError: gateway_unknown, also where more than one answers to that.
    """
    found = [each for each in gateways if wanted in (each.name, each.host, *each.addresses)]
    if len(found) != 1:
        raise UcmError(Code.GATEWAY_UNKNOWN, f"{len(found)} of that name" if found else wanted[:64])
    return found[0]
