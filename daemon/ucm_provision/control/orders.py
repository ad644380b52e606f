"""The provisioning API's calls by hand, and replacements, on the control socket."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from aiohttp import web

from ucm_provision.control.peer import actor
from ucm_provision.control.routes import find, json_answer, json_request
from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.kinds import WITH_CONFIG, DeviceType, Kind
from ucm_provision.core.model import Device, GatewaySite, MqttProtocol, ProvisionArguments, parse_hardware_id
from ucm_provision.core.orders import Replacement
from ucm_provision.engine.order_book import OrderBook
from ucm_provision.engine.order_views import order_view
from ucm_provision.engine.orders import Orders, Outcome, parting_names
from ucm_provision.engine.record import Record
from ucm_provision.wire import ModuleView, OrderAnswer, OrderList

LookUp = Callable[[str], Awaitable[Device | None]]

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_Id = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z][0-9A-Za-z_.:-]{0,127}\Z")]
_Slug = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z][0-9A-Za-z_-]{0,127}\Z")]


class _Gateway(msgspec.Struct, forbid_unknown_fields=True):
    version: _Name
    name: _Name
    timezone: _Name
    latitude: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    longitude: Annotated[float, msgspec.Meta(ge=-180, le=180)]


class _Provision(msgspec.Struct, forbid_unknown_fields=True):
    kind: Kind
    name: _Name | None = None
    hardware_id: str | None = None
    site_id: _Id | None = None
    protocol: MqttProtocol | None = None
    device_type: DeviceType | None = None
    master: _Name | None = None
    runtime: _Name | None = None
    blueprint_id: _Id | None = None
    slug: _Slug | None = None
    gateway: _Gateway | None = None
    config: bool = False


class _Replace(msgspec.Struct, forbid_unknown_fields=True):
    old: _Name
    new: _Name


_NEEDED: dict[Kind, frozenset[str]] = {
    Kind.UCM: frozenset({"hardware_id", "name"}),
    Kind.VUCM: frozenset({"name"}),
    Kind.EMBEDDED: frozenset({"hardware_id", "name", "device_type"}),
    Kind.LINK_MASTER: frozenset({"hardware_id", "name"}),
    Kind.LINK_SLAVE: frozenset({"hardware_id", "name", "master"}),
    Kind.STANDALONE: frozenset({"name"}),
    Kind.LUA_DEVICE: frozenset({"name", "runtime", "blueprint_id"}),
    Kind.GATEWAY: frozenset({"hardware_id", "gateway", "config"}),
}
_ALLOWED: dict[Kind, frozenset[str]] = {
    Kind.UCM: frozenset({"site_id", "protocol", "config"}),
    Kind.VUCM: frozenset({"site_id", "hardware_id"}),
    Kind.EMBEDDED: frozenset({"site_id", "protocol", "config"}),
    Kind.LINK_MASTER: frozenset({"site_id"}),
    Kind.LINK_SLAVE: frozenset({"site_id"}),
    Kind.STANDALONE: frozenset({"site_id", "slug"}),
    Kind.LUA_DEVICE: frozenset({"slug"}),
    Kind.GATEWAY: frozenset({"site_id"}),
}


class OrderRoutes:
    """Takes orders, and waits a little for what comes of them.

    ``protocol``: how modules speak to the broker unless the order says otherwise.
    """

    def __init__(
        self, orders: Orders, book: OrderBook, record: Record, look_up: LookUp, protocol: MqttProtocol
    ) -> None:
        self._orders = orders
        self._book = book
        self._record = record
        self._look_up = look_up
        self._protocol = protocol

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/v1/orders", self._get_orders)
        app.router.add_post("/v1/orders/{order}/cancel", self._cancel)
        app.router.add_post("/v1/provision", self._provision)
        app.router.add_post("/v1/replace", self._replace)

    async def _get_orders(self, _: web.Request) -> web.Response:
        return json_answer(OrderList(orders=[order_view(order) for order in self._book.orders()]))

    async def _cancel(self, request: web.Request) -> web.Response:
        return json_answer(OrderAnswer(order=order_view(await self._orders.cancel(request.match_info["order"]))))

    async def _provision(self, request: web.Request) -> web.Response:
        asked = await json_request(request, _Provision, policy.CONTROL_BODY_LARGEST)
        order = await self._orders.place(self._arguments(asked), actor(request))
        outcome = await self._orders.outcome(order.id, policy.ORDER_ANSWER_WAIT)
        return json_answer(_answer(outcome, with_config=asked.config))

    async def _replace(self, request: web.Request) -> web.Response:
        asked = await json_request(request, _Replace, policy.CONTROL_BODY_LARGEST)
        order = await self._orders.place_replacement(await self._replacement(asked), actor(request))
        outcome = await self._orders.outcome(order.id, policy.ORDER_ANSWER_WAIT)
        return json_answer(_answer(outcome, with_config=False))

    def _arguments(self, asked: _Provision) -> ProvisionArguments:
        _check_keys(asked)
        gateway = asked.gateway
        protocol = asked.protocol or self._protocol
        return ProvisionArguments(
            kind=asked.kind,
            hardware_id=_hardware_id(asked.hardware_id) if asked.hardware_id else "",
            site_id=asked.site_id or "",
            name=asked.name or (gateway.name if gateway else ""),
            protocol=protocol if asked.kind in WITH_CONFIG and asked.kind is not Kind.GATEWAY else None,
            device_type=asked.device_type,
            master_device_id=self._device_id(asked.master) if asked.master else "",
            runtime_id=self._device_id(asked.runtime) if asked.runtime else "",
            blueprint_id=asked.blueprint_id or "",
            slug=asked.slug or "",
            gateway=GatewaySite(**msgspec.structs.asdict(gateway)) if gateway else None,
        )

    def _device_id(self, named: str) -> str:
        """A module on a cable here may be called what it is called; anything else is the device's id."""
        known = self._module(named)
        return (known["device_id"] if known else None) or named

    def _module(self, named: str) -> ModuleView | None:
        """The module of that name, if one is known here. Raises UcmError(module_ambiguous)."""
        try:
            return find(self._record.views(), named)
        except UcmError as error:
            if error.code is Code.MODULE_AMBIGUOUS:
                raise
            return None

    async def _replacement(self, asked: _Replace) -> Replacement:
        """Name and slug are those of the API's record: the truth, whatever was meant to be."""
        known, new = self._module(asked.old), self._new_hardware_id(asked.new)
        device = await self._look_up((known["device_id"] if known else None) or asked.old)
        if device is None:
            raise UcmError(Code.MODULE_UNKNOWN, asked.old[:64])
        old = device.hardware_id or (known["hardware_id"] if known else None) or ""
        if old == new:
            raise UcmError(Code.REQUEST_INVALID, "a module does not replace itself")
        return Replacement(device.id, old, new, device.name, device.slug, *parting_names(device.name, device.slug))

    def _new_hardware_id(self, named: str) -> str:
        known = self._module(named)
        if known is None:
            return _hardware_id(named)
        hardware_id = known["hardware_id"] or known["announced_id"]
        if hardware_id is None:
            raise UcmError(Code.MODULE_NOT_IDENTIFIED, known["endpoint"])
        return hardware_id


def _check_keys(asked: _Provision) -> None:
    given = {name for name in asked.__struct_fields__ if name != "kind" and getattr(asked, name)}
    needed = _NEEDED[asked.kind]
    if missing := needed - given:
        raise UcmError(Code.REQUEST_INVALID, f"{asked.kind} needs {', '.join(sorted(missing))}")
    if surplus := given - needed - _ALLOWED[asked.kind]:
        raise UcmError(Code.REQUEST_INVALID, f"{asked.kind} takes no {', '.join(sorted(surplus))}")


def _hardware_id(text: str) -> str:
    try:
        return parse_hardware_id(text)
    except ValueError as error:
        raise UcmError(Code.REQUEST_INVALID, str(error)) from None


def _answer(outcome: Outcome, *, with_config: bool) -> OrderAnswer:
    answer = OrderAnswer(order=order_view(outcome.order))
    if with_config and outcome.config:
        answer["config"] = json.loads(outcome.config.reveal())
    return answer
