"""Orders: what an operator asks of the provisioning API through the daemon, beside the modules on cables.

An order is journalled before anything of it leaves the process, and everything that it does may be done
twice. So one that was cut off, by whatever, simply goes on. Pure functions, like the session's machine.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, fields, replace
from enum import StrEnum

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.kinds import WITH_HARDWARE_ID, Kind
from ucm_provision.core.model import Device, ProvisionArguments


class OrderState(StrEnum):
    OPEN = "open"
    DONE = "done"
    REFUSED = "refused"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Replacement:
    """A dead module's name and slug pass to other hardware.

    ``parting_name`` and ``parting_slug`` are what the dead module's device is called from then on.
    """

    device_id: str
    old_hardware_id: str
    new_hardware_id: str
    name: str
    slug: str
    parting_name: str
    parting_slug: str


@dataclass(frozen=True, slots=True)
class Order:
    """Either a provisioning call by hand (``arguments``) or a replacement.

    Attributes:
        by: The operator, or the line of the manifest, that it comes from.
        asked: How often the API was asked for the device, counted before each call.
        attempt: Failures in a row; drives the back-off.
        code: Why it was refused, or what it waits for until ``until``.
    """

    id: str
    by: str
    placed_at: float
    updated_at: float
    arguments: ProvisionArguments | None = None
    replacement: Replacement | None = None
    state: OrderState = OrderState.OPEN
    asked: int = 0
    attempt: int = 0
    device_id: str = ""
    slug: str = ""
    code: Code | None = None
    detail: str = ""
    until: float | None = None

    @property
    def open(self) -> bool:
        return self.state is OrderState.OPEN


# The API, or a look at it, said no to this very order, and would do so for ever.
_FINAL = frozenset({Code.API_REJECTED, Code.API_CONFLICT, Code.API_NOT_FOUND, Code.SLUG_TAKEN})


def answered(order: Order, device_id: str, slug: str, at: float) -> Order:
    return replace(
        order, state=OrderState.DONE, device_id=device_id, slug=slug, updated_at=at, code=None, detail="", until=None
    )


def failed(order: Order, error: UcmError, at: float) -> Order:
    """The order after a failure: refused for good, or waiting to be tried again."""
    order = replace(order, code=error.code, detail=error.detail, attempt=order.attempt + 1, updated_at=at)
    if error.code in _FINAL:
        return replace(order, state=OrderState.REFUSED, until=None)
    wait = max(policy.backoff(order.attempt), min(error.retry_after or 0.0, policy.BACKOFF_LAST))
    return replace(order, until=at + wait)


def due(order: Order, now: float) -> bool:
    return order.open and (order.until is None or policy.is_over(order.until, now))


def clamp(order: Order, now: float) -> Order:
    """The order as loaded from the journal, without a wait that only a jumping clock can have made."""
    latest = now + policy.BACKOFF_LAST
    return order if order.until is None or order.until <= latest else replace(order, until=latest)


# ---- what makes a call repeatable ----------------------------------------------------------------

_SLUG_STEM = 48
_NOT_IN_SLUGS = re.compile(r"[^a-z0-9]+")


def make_slug(name: str, unique: str) -> str:
    """A slug that a person recognises and nobody else has: the name as far as it is ASCII, and ``unique``."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    stem = _NOT_IN_SLUGS.sub("-", ascii_name).strip("-")[:_SLUG_STEM].rstrip("-")
    return f"{stem}-{unique}" if stem else unique


def identified(wanted: ProvisionArguments, *, unique: str, virtual_id: str) -> ProvisionArguments:
    """The arguments with whatever the device will be recognised by after an answer that got lost.

    Args:
        unique: The end of a slug, where one is needed and none is wanted.
        virtual_id: The hardware id of a virtual UCM that comes without one.
    """
    if wanted.kind is Kind.VUCM and not wanted.hardware_id:
        return replace(wanted, hardware_id=virtual_id)
    if wanted.kind not in WITH_HARDWARE_ID and not wanted.slug:
        return replace(wanted, slug=make_slug(wanted.name, unique))
    return wanted


def satisfies(order: Order, wanted: ProvisionArguments) -> bool:
    """Whether the order already asks for what is wanted; what the request left open matches anything."""
    arguments = order.arguments
    return arguments is not None and all(
        getattr(wanted, field.name) in ("", None, getattr(arguments, field.name)) for field in fields(wanted)
    )


def is_result_of(device: Device, arguments: ProvisionArguments) -> bool:
    """Whether the device with the order's slug is what the order asked for, rather than somebody else's."""
    same_site = not arguments.site_id or device.site_id == arguments.site_id
    return (device.slug, device.name) == (arguments.slug, arguments.name) and same_site
