"""Who is there, and who was told about it."""

from __future__ import annotations

from typing import Generic, TypeVar

Value = TypeVar("Value")


class Appearances(Generic[Value]):
    """Keeps what is there apart from what was last told, and tells the difference.

    So whatever undoes itself in between is never told, and a listener that is slow misses only what is
    no longer true. Arrivals and changes are told at once, departures when their time has come. Times
    are those of a monotonic clock.
    """

    def __init__(self) -> None:
        self._there: dict[str, Value] = {}
        self._told: dict[str, Value] = {}
        self._changed: dict[str, None] = {}
        self._leaving: dict[str, float] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._there

    def get(self, name: str) -> Value | None:
        return self._there.get(name)

    def is_leaving(self, name: str) -> bool:
        return name in self._leaving

    def seen(self, name: str, value: Value) -> bool:
        """``name`` is there. Returns whether that is news."""
        self._leaving.pop(name, None)
        if self._there.get(name) == value:
            return False
        self._there[name] = value
        self._changed[name] = None
        return True

    def lost(self, name: str, until: float) -> None:
        """``name`` is gone, unless it is seen again before ``until``."""
        if name in self._there:
            self._leaving.setdefault(name, until)

    def doubt_all(self, until: float) -> None:
        """Whoever is not seen again before ``until`` is gone."""
        for name in self._there:
            self.lost(name, until)

    def due(self) -> float | None:
        """When the next departure is certain."""
        return min(self._leaving.values(), default=None)

    def take(self, now: float) -> list[tuple[str, Value, bool]]:
        """What has changed since it was last asked: name, value, and whether it is there. Departures come first."""
        self._depart(now)
        changed, self._changed = self._changed, {}
        gone = [(name, self._told.pop(name), False) for name in changed if self._is_gone(name)]
        come = [(name, self._there[name], True) for name in changed if self._is_untold(name)]
        self._told.update((name, value) for name, value, _ in come)
        return gone + come

    def _is_gone(self, name: str) -> bool:
        return name in self._told and name not in self._there

    def _is_untold(self, name: str) -> bool:
        return name in self._there and self._told.get(name) != self._there[name]

    def _depart(self, now: float) -> None:
        for name in [name for name, until in self._leaving.items() if until <= now]:
            del self._leaving[name], self._there[name]
            self._changed[name] = None
