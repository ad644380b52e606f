"""The two transistors on ESP32 boards that let a computer reset the chip over DTR and RTS."""

from __future__ import annotations

from collections.abc import Callable


class ResetCircuit:
    """EN is low while RTS is on and DTR off; IO0 is low while DTR is on and RTS off. Alike, they leave the chip alone.

    The chip starts over when EN rises again, in its ROM's loader if IO0 is low then. The real circuit has a capacitor
    that swallows the shortest of pulses; this one forgives nothing.
    """

    def __init__(self, reset: Callable[[], None]) -> None:
        self._reset = reset
        self._held = False
        self.resets = 0
        #: Every state of (DTR, RTS), in order.
        self.history: list[tuple[bool, bool]] = []

    def lines(self, dtr: bool, rts: bool) -> None:
        """Takes the state of both lines."""
        self.history.append((dtr, rts))
        pulled = rts and not dtr
        if self._held and not pulled:
            self.resets += 1
            self._reset()
        self._held = pulled
