"""The sessions as the daemon knows them: in memory for reading, in the journal first for every change."""

from __future__ import annotations

import secrets

from ucm_provision.core.events import Event, Seen
from ucm_provision.core.machine import Session, clamp, evolve
from ucm_provision.core.model import Endpoint
from ucm_provision.core.ports import Clock
from ucm_provision.engine.feed import Feed
from ucm_provision.engine.ports import SessionJournal
from ucm_provision.engine.views import module_view
from ucm_provision.wire import ActivityView, ModuleView, Step


class Record:
    """Journal first, then memory, then the feed. One writer for each session at a time."""

    def __init__(self, journal: SessionJournal, feed: Feed, clock: Clock) -> None:
        self._journal = journal
        self._feed = feed
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._activities: dict[str, ActivityView] = {}
        self.present: dict[str, Endpoint] = {}

    async def load(self) -> None:
        """Takes up what the journal holds, oldest change first."""
        now = self._clock.now()
        self._sessions = {session.id: clamp(session, now) for session in await self._journal.sessions()}

    def appeared(self, endpoint: Endpoint) -> None:
        self.present[endpoint.key] = endpoint
        self._publish_at(endpoint)

    def vanished(self, endpoint: Endpoint) -> None:
        if self.present.pop(endpoint.key, None):
            self._publish_at(endpoint)

    async def begin(self, endpoint: Endpoint) -> Session:
        return await self.add(secrets.token_hex(6), Seen(endpoint))

    async def add(self, session_id: str, event: Event) -> Session:
        """Journals the event; returns the session after it."""
        at = self._clock.now()
        session = evolve(self._sessions.get(session_id), event, session_id=session_id, at=at)
        await self._journal.append(session, event, at)
        # Re-inserted, so that the order stays that of the latest change, as in the journal.
        self._sessions.pop(session_id, None)
        self._sessions[session_id] = session
        self._publish(session)
        return session

    def busy(self, session_id: str, step: Step, detail: str = "") -> None:
        """Shows what is being done to a module. Never stored: after a crash nothing is being done."""
        activity = ActivityView(step=step, detail=detail)
        if self._activities.get(session_id) != activity:
            self._activities[session_id] = activity
            self._publish(self._sessions[session_id])

    def idle(self, session_id: str) -> None:
        if self._activities.pop(session_id, None):
            self._publish(self._sessions[session_id])

    def session(self, session_id: str) -> Session:
        return self._sessions[session_id]

    def sessions(self) -> list[Session]:
        """Every session, oldest change first."""
        return list(self._sessions.values())

    def open_sessions(self) -> list[Session]:
        return [session for session in self._sessions.values() if not session.milestone.ended]

    def open_for(self, hardware_id: str, *, other_than: str) -> Session | None:
        """The unfinished session of a module, if another than the given one is."""
        for session in self.open_sessions():
            if session.hardware_id == hardware_id and session.id != other_than:
                return session
        return None

    def latest_of(self, hardware_id: str) -> Session | None:
        """A module's latest session."""
        return next((s for s in reversed(self._sessions.values()) if s.hardware_id == hardware_id), None)

    def latest_at(self, key: str) -> Session | None:
        """The session that last had to do with an endpoint, even if its module was met elsewhere since."""
        for session in reversed(self._sessions.values()):
            if not session.absorbed_into and key in (session.endpoint.key, *session.formerly):
                return session
        return None

    def views(self) -> list[ModuleView]:
        """One view for each known module (its latest session) and each endpoint not yet identified."""
        latest: dict[str, Session] = {}
        for session in self._sessions.values():
            if session.hardware_id or not session.milestone.ended:
                latest[session.hardware_id or session.id] = session
        return [self.view(session) for session in latest.values() if not session.absorbed_into]

    def view(self, session: Session) -> ModuleView:
        return module_view(
            session, present=session.endpoint.key in self.present, activity=self._activities.get(session.id)
        )

    def _publish_at(self, endpoint: Endpoint) -> None:
        if session := self.latest_at(endpoint.key):
            self._publish(session)

    def _publish(self, session: Session) -> None:
        self._feed.publish(self.view(session))
