"""One line of the bench's report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """A value that must stay on the right side of its limit."""

    what: str
    measured: str
    value: float
    limit: float
    at_most: bool = True

    @property
    def within(self) -> bool:
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def line(self) -> str:
        verdict = "ok" if self.within else "NOT WITHIN"
        bound = "at most" if self.at_most else "at least"
        return f"{verdict:<10}  {self.what}: {self.value:.2f} ({bound} {self.limit:.2f}); {self.measured}"
