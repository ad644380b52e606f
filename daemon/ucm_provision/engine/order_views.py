"""An order as people and programs are shown it."""

from __future__ import annotations

from ucm_provision.core.errors import explain
from ucm_provision.core.orders import Order
from ucm_provision.wire import OrderView


def order_view(order: Order) -> OrderView:
    kind, name, hardware_id, slug = _what(order)
    return OrderView(
        id=order.id,
        kind=kind,
        name=name,
        hardware_id=hardware_id or None,
        device_id=order.device_id or None,
        slug=slug or None,
        state=order.state.value,
        code=order.code.value if order.code else None,
        message=explain(order.code, order.detail) if order.code else None,
        until=order.until,
        by=order.by,
        placed_at=order.placed_at,
        updated_at=order.updated_at,
    )


def _what(order: Order) -> tuple[str, str, str, str]:
    """Kind, name, hardware id and slug of what the order is about: the device that is added, or the new module."""
    if arguments := order.arguments:
        return arguments.kind.value, arguments.name, arguments.hardware_id, order.slug or arguments.slug
    replacement = order.replacement
    assert replacement is not None, "an order is one or the other"
    return "replace", replacement.name, replacement.new_hardware_id, replacement.slug
