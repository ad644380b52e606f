"""The Lua device that the manifest wants on a module is provisioned once the module is verified."""

from __future__ import annotations

from contextlib import suppress

from ucm_provision.core.kinds import Kind
from ucm_provision.core.model import ProvisionArguments
from ucm_provision.core.plan import SitePlan
from ucm_provision.engine.feed import Feed, OverrunError
from ucm_provision.engine.order_book import OrderBook
from ucm_provision.engine.orders import Orders
from ucm_provision.engine.record import Record
from ucm_provision.wire import ModuleView


class Blueprints:
    """Places one order for each verified module and blueprint; refused, it is left to an operator."""

    def __init__(self, plan: SitePlan, record: Record, book: OrderBook, orders: Orders, feed: Feed) -> None:
        self._plan = plan
        self._record = record
        self._book = book
        self._orders = orders
        self._feed = feed

    async def run(self) -> None:
        """Until cancelled. A crash between verified and ordered is caught up with at the next start."""
        while True:
            with suppress(OverrunError), self._feed.listen() as changes:
                await self.look()
                async for view in changes:
                    await self._provide(view)

    async def look(self) -> None:
        """At every module: the manifest may have changed."""
        for view in self._record.views():
            await self._provide(view)

    async def _provide(self, view: ModuleView) -> None:
        hardware_id, runtime_id = view["hardware_id"], view["device_id"]
        if view["milestone"] != "VERIFIED" or hardware_id is None or runtime_id is None:
            return
        blueprint_id = self._plan.listed(hardware_id).blueprint
        if blueprint_id and not self._ordered(runtime_id, blueprint_id):
            name = self._plan.listed(hardware_id).name or view["name"] or hardware_id
            arguments = ProvisionArguments(Kind.LUA_DEVICE, name=name, runtime_id=runtime_id, blueprint_id=blueprint_id)
            await self._orders.place(arguments, f"the manifest, for {hardware_id}")

    def _ordered(self, runtime_id: str, blueprint_id: str) -> bool:
        return any(
            order.arguments is not None
            and (order.arguments.runtime_id, order.arguments.blueprint_id) == (runtime_id, blueprint_id)
            for order in self._book.orders()
        )
