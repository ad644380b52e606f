"""Modules on the LAN that nobody has approved. Held in memory only: anybody may announce himself there."""

from __future__ import annotations

import secrets
from dataclasses import replace

from ucm_provision.core import policy
from ucm_provision.core.errors import Code
from ucm_provision.core.events import Seen
from ucm_provision.core.machine import Hold, Session, Waits, evolve
from ucm_provision.core.model import Endpoint


class Candidates:
    """Sessions that may begin once an operator says so, the latest ones of a flood."""

    def __init__(self) -> None:
        self._by_key: dict[str, Session] = {}
        self._by_id: dict[str, Session] = {}

    def add(self, endpoint: Endpoint, announced_id: str, at: float) -> tuple[Session, list[Session]]:
        """The candidate at the endpoint, and those that had to make room for it."""
        seen = evolve(None, Seen(endpoint, announced_id), session_id=secrets.token_hex(6), at=at)
        candidate = replace(seen, hold=Hold(Waits.OPERATOR, Code.APPROVAL_NEEDED, "", None))
        displaced = []
        while len(self._by_key) >= policy.CANDIDATES_KEPT:
            displaced.append(self._pop(next(iter(self._by_key))))
        self._by_key[endpoint.key] = self._by_id[candidate.id] = candidate
        return candidate, displaced

    def drop(self, key: str) -> Session | None:
        """Forgets who is at the endpoint; returns it if somebody was."""
        return self._pop(key) if key in self._by_key else None

    def at(self, key: str) -> Session | None:
        return self._by_key.get(key)

    def get(self, session_id: str) -> Session | None:
        return self._by_id.get(session_id)

    def all(self) -> list[Session]:
        """Oldest first."""
        return list(self._by_key.values())

    def _pop(self, key: str) -> Session:
        candidate = self._by_key.pop(key)
        del self._by_id[candidate.id]
        return candidate
