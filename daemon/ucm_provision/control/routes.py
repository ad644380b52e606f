"""What the parts of the control socket's API share."""

from __future__ import annotations

from typing import Protocol, TypeVar

import msgspec
from aiohttp import web

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.wire import (
    ApiChoice,
    CampaignAnswer,
    CampaignList,
    CampaignPlan,
    ErrorAnswer,
    ForgetAnswer,
    InspectionAnswer,
    ManifestAnswer,
    ManifestText,
    ModuleAnswer,
    ModuleDetail,
    ModuleList,
    ModuleView,
    OrderAnswer,
    OrderList,
    PageInvitation,
    PageView,
    ScanAnswer,
    StatusView,
    WifiView,
)

T = TypeVar("T")

Body = (
    StatusView
    | ModuleList
    | ModuleDetail
    | ModuleAnswer
    | OrderList
    | OrderAnswer
    | ApiChoice
    | CampaignAnswer
    | CampaignList
    | CampaignPlan
    | InspectionAnswer
    | ForgetAnswer
    | ScanAnswer
    | ManifestText
    | ManifestAnswer
    | WifiView
    | PageView
    | PageInvitation
    | ErrorAnswer
)


class Routes(Protocol):
    """A part of the API."""

    def add_to(self, app: web.Application) -> None: ...


def json_answer(body: Body, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


async def json_request(request: web.Request, shape: type[T], largest: int) -> T:
    """The request's body. A complaint names the field and never its value.

    Raises:
        UcmError: request_invalid.
    """
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > largest:
            raise UcmError(Code.REQUEST_INVALID, f"more than {largest} bytes")
    try:
        return msgspec.json.decode(bytes(body), type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = str(error) if isinstance(error, msgspec.ValidationError) else "no JSON"
        raise UcmError(Code.REQUEST_INVALID, reason) from None


def find(modules: list[ModuleView], wanted: str) -> ModuleView:
    """The module that a person means by a name, a slug, an endpoint or the beginning of a hardware id.

    Of a module that has not proved who it is yet, what it announces itself as counts.

    Raises:
        UcmError: module_unknown or module_ambiguous.
    """
    exact = [module for module in modules if wanted in _names(module)]
    found = exact or [m for m in modules if wanted and _hardware_id(m).startswith(wanted.upper())]
    if not found:
        raise UcmError(Code.MODULE_UNKNOWN, wanted[:64])
    if len(found) > 1:
        raise UcmError(Code.MODULE_AMBIGUOUS, ", ".join(m["hardware_id"] or m["endpoint"] for m in found[:5]))
    return found[0]


def _hardware_id(module: ModuleView) -> str:
    return module["hardware_id"] or module["announced_id"] or ""


def _names(module: ModuleView) -> tuple[str | None, ...]:
    """What a module is called in full: a port also without its folder."""
    endpoint = module["endpoint"]
    names = (module["hardware_id"], module["name"], module["slug"], module["device_id"], module["session"])
    return (*names, endpoint, endpoint.rpartition("/")[2])
