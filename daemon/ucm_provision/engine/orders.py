"""Takes orders, carries them out one after the other and beside each other, and tells who waits what came of them."""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import structlog

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import ProvisionArguments, Provisioned
from ucm_provision.core.orders import (
    Order,
    OrderState,
    Replacement,
    answered,
    due,
    failed,
    identified,
    make_slug,
    satisfies,
)
from ucm_provision.core.ports import Clock
from ucm_provision.core.secret import Secret
from ucm_provision.engine.gate import ApiGate
from ucm_provision.engine.order_book import OrderBook
from ucm_provision.engine.waking import changed_or_due

log = structlog.get_logger()

Steps = Callable[[Order], Awaitable[Provisioned]]

# Two devices of one site with the same name and the same six random digits: one in sixteen million.
_UNIQUE_BYTES = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an order so far. ``config`` is handed to those who wait at this moment, and kept nowhere."""

    order: Order
    config: Secret[bytes] = field(default_factory=lambda: Secret(b""))


class Orders:
    """Every order is journalled before it is begun, and goes on by itself until it is done or refused."""

    def __init__(self, book: OrderBook, gate: ApiGate, clock: Clock, *, provision: Steps, replacement: Steps) -> None:
        self._book = book
        self._gate = gate
        self._clock = clock
        self._provision = provision
        self._replacement = replacement
        self._changed = asyncio.Event()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._waiting: dict[str, list[asyncio.Future[Outcome]]] = defaultdict(list)
        self._placing = asyncio.Lock()

    # ---- taking orders ---------------------------------------------------------------------------

    async def place(self, wanted: ProvisionArguments, by: str) -> Order:
        """Journals the order. An open one that asks for the same is this one: it is tried now instead."""
        async with self._placing:
            same = self._book.first_open(lambda order: satisfies(order, wanted))
            if same is not None:
                return await self._hurry(same)
            arguments = identified(
                wanted,
                unique=secrets.token_hex(_UNIQUE_BYTES),
                virtual_id="V" + secrets.token_hex(16).upper(),
            )
            return await self._begin(self._new(by, arguments=arguments))

    async def place_replacement(self, replacement: Replacement, by: str) -> Order:
        """Journals the order. One that is under way for the same two modules goes on with its own names."""
        both = (replacement.device_id, replacement.new_hardware_id)
        async with self._placing:
            same = self._book.first_open(lambda order: _replaces(order, both))
            if same is not None:
                return await self._hurry(same)
            return await self._begin(self._new(by, replacement=replacement))

    def _new(
        self, by: str, *, arguments: ProvisionArguments | None = None, replacement: Replacement | None = None
    ) -> Order:
        now = self._clock.now()
        return Order(secrets.token_hex(4), by, now, now, arguments, replacement)

    async def _begin(self, order: Order) -> Order:
        order = await self._book.keep(order)
        self._changed.set()
        return order

    async def _hurry(self, order: Order) -> Order:
        if order.id in self._running or order.until is None:
            return order
        return await self._begin(replace(order, until=None))

    async def cancel(self, order_id: str) -> Order:
        """Ends an open order. What it has added already stays.

        Raises:
            UcmError: order_unknown or order_ended.
        """
        if task := self._running.get(order_id):
            task.cancel()
            await asyncio.wait((task,))
        order = self._known(order_id)
        if not order.open:
            raise UcmError(Code.ORDER_ENDED, order.state.value)
        order = await self._book.keep(replace(order, state=OrderState.CANCELLED, updated_at=self._clock.now()))
        self._tell(Outcome(order))
        return order

    def _known(self, order_id: str) -> Order:
        order = self._book.get(order_id)
        if order is None:
            raise UcmError(Code.ORDER_UNKNOWN, order_id[:32])
        return order

    async def outcome(self, order_id: str, seconds: float) -> Outcome:
        """What comes of an order next, or how far it is after that many seconds.

        Called right after :meth:`place`, without waiting for anything else in between, it misses nothing.
        """
        waiting: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[order_id].append(waiting)
        await asyncio.wait((waiting,), timeout=seconds)
        if waiting.done():
            return waiting.result()
        self._waiting[order_id].remove(waiting)
        return Outcome(self._known(order_id))

    # ---- carrying them out -----------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled; the orders are cancelled with it, each at a durable point."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                self._start_due(group)
                await changed_or_due(self._changed, self._times(), self._clock)

    def _start_due(self, group: asyncio.TaskGroup) -> None:
        now = self._clock.now()
        if self._gate.pause and not self._gate.pause.is_over(now):
            return
        for order in self._book.orders():
            if len(self._running) >= policy.ORDERS_AT_ONCE:
                return
            if due(order, now) and order.id not in self._running:
                self._running[order.id] = group.create_task(self._carry_out(order), name=f"order {order.id}")

    def _times(self) -> list[float]:
        times = [order.until for order in self._book.orders() if order.open and order.until is not None]
        return [*times, self._gate.pause.until] if self._gate.pause else times

    async def _carry_out(self, order: Order) -> None:
        try:
            outcome = await self._attempt(order)
            await self._book.keep(outcome.order)
            self._tell(outcome)
        finally:
            del self._running[order.id]
            self._changed.set()

    async def _attempt(self, order: Order) -> Outcome:
        steps = self._provision if order.arguments else self._replacement
        try:
            result = await steps(order)
        except UcmError as error:
            failure = error
        except Exception as error:
            log.exception("order failed unexpectedly", UCM_ORDER=order.id)
            failure = UcmError(Code.INTERNAL, type(error).__name__)
        else:
            log.info("order done", UCM_ORDER=order.id, device=result.device_id)
            done = answered(self._known(order.id), result.device_id, result.slug, self._clock.now())
            return Outcome(done, result.config)
        log.warning(str(failure), UCM_ORDER=order.id, UCM_ERROR=failure.code.value)
        return Outcome(failed(self._known(order.id), failure, self._clock.now()))

    def _tell(self, outcome: Outcome) -> None:
        for waiting in self._waiting.pop(outcome.order.id, ()):
            if not waiting.done():
                waiting.set_result(outcome)


def _replaces(order: Order, both: tuple[str, str]) -> bool:
    replacement = order.replacement
    return replacement is not None and (replacement.device_id, replacement.new_hardware_id) == both


def parting_names(name: str, slug: str) -> tuple[str, str]:
    """What a dead module's device is called from now on: recognisable, and in nobody's way."""
    unique = secrets.token_hex(_UNIQUE_BYTES)
    return f"{name} (replaced)", make_slug(f"{slug} replaced", unique)
