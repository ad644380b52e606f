"""The middle of a push: where an interruption hurts most."""

from __future__ import annotations

from ucm_sim import SerialModule

#: Bits per second, so slow that a push takes a good second.
SLOW = 28_800
_WITHIN = 90.0


async def in_the_middle_of_a_push(module: SerialModule) -> None:
    """Returns when the module has a part of its configuration, and not yet all. Raises TimeoutError."""
    await module.until(lambda m: m.executed("chunk") >= 1, timeout=_WITHIN)
    assert module.executed("commit") == 0
