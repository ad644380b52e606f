"""What the engine asks of the journal."""

from __future__ import annotations

from typing import Protocol

from ucm_provision.core.events import Event
from ucm_provision.core.machine import Session


class SessionJournal(Protocol):
    async def append(self, session: Session, event: Event, at: float) -> int: ...

    async def sessions(self) -> list[Session]: ...
