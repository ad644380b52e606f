"""What an operator learns of orders, again and again until there is something to learn."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.e2e.station import DEADLINE, Station, ucmctl


async def orders(station: Station) -> list[dict[str, Any]]:
    status, said = await ucmctl(station.socket, "orders", "--json")
    listed: list[dict[str, Any]] = json.loads(said)["orders"] if status == 0 else []
    return listed


async def ended(station: Station) -> dict[str, Any]:
    """The only order, once it is no longer open."""
    async with asyncio.timeout(DEADLINE):
        while not (listed := await orders(station)) or listed[0]["state"] == "open":
            pass
    (order,) = listed
    return order
