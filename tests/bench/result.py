"""One line of the bench's report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """``ratio`` of what was measured to what cannot be undercut; it must stay within ``limit``."""

    what: str
    measured: str
    ratio: float
    limit: float

    @property
    def within(self) -> bool:
        return self.ratio <= self.limit

    def line(self) -> str:
        verdict = "ok" if self.within else "TOO SLOW"
        return f"{self.what}: {self.measured}; ratio {self.ratio:.2f} (limit {self.limit:.2f}) {verdict}"
