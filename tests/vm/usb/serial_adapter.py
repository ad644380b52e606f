"""What all USB serial adapters are to the module behind them."""

from __future__ import annotations

from typing import Protocol


class ModuleSide(Protocol):
    """The pins of an adapter that lead to a module."""

    def receive(self, data: bytes) -> None:
        """Takes what the computer has sent."""

    def lines(self, dtr: bool, rts: bool) -> None:
        """Takes the state of the modem lines, whenever the computer sets it."""


class Adapter(Protocol):
    """The adapter, seen from the module."""

    def send(self, data: bytes) -> None:
        """Sends to the computer; while no program has the port open, to nobody."""
