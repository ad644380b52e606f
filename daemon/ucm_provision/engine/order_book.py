"""The orders as the daemon knows them: in memory for reading, in the journal first for every change."""

from __future__ import annotations

from collections.abc import Callable

from ucm_provision.core.orders import Order, clamp
from ucm_provision.core.ports import Clock
from ucm_provision.engine.ports import OrderJournal


class OrderBook:
    """One writer for each order at a time."""

    def __init__(self, journal: OrderJournal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._orders: dict[str, Order] = {}

    async def load(self) -> None:
        """Takes up what the journal holds, oldest first."""
        now = self._clock.now()
        self._orders = {order.id: clamp(order, now) for order in await self._journal.orders()}

    async def keep(self, order: Order) -> Order:
        await self._journal.keep_order(order)
        self._orders[order.id] = order
        return order

    def get(self, order_id: str) -> Order | None:
        return self._orders.get(order_id)

    def orders(self) -> list[Order]:
        """Every order, oldest first."""
        return list(self._orders.values())

    def first_open(self, matches: Callable[[Order], bool]) -> Order | None:
        return next((order for order in self._orders.values() if order.open and matches(order)), None)
