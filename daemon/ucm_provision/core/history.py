"""What the journal can say of the past in a few lines."""

from __future__ import annotations

from dataclasses import dataclass

from ucm_provision.core.errors import Code


@dataclass(frozen=True, slots=True)
class PastFailure:
    """How often a session failed in one way, and what was particular to the last time. Seconds since the epoch."""

    code: Code
    detail: str
    times: int
    first_at: float
    last_at: float
