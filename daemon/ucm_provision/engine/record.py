"""The sessions as the daemon knows them: in memory for reading, in the journal first for every change."""

from __future__ import annotations

import secrets
from collections import Counter
from typing import get_args

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import Approved, Cancelled, Event, Failed, Named, Seen
from ucm_provision.core.machine import Session, clamp, evolve
from ucm_provision.core.model import Endpoint, lan_key
from ucm_provision.core.ports import Clock
from ucm_provision.engine.candidates import Candidates
from ucm_provision.engine.feed import Feed
from ucm_provision.engine.index import SessionIndex
from ucm_provision.engine.ports import SessionJournal
from ucm_provision.engine.views import module_view
from ucm_provision.wire import ActivityView, ModuleView, Step


class Record:
    """Journal first, then memory, then the feed. One writer for each session at a time.

    Attributes:
        present: The endpoints that are there now, by key.
        candidates: Those on the LAN that wait for approval; the journal knows nothing of them.
        failures: How many attempts have failed since the daemon began, by code.
    """

    def __init__(self, journal: SessionJournal, feed: Feed, clock: Clock) -> None:
        self._journal = journal
        self._feed = feed
        self._clock = clock
        self._index = SessionIndex()
        self._activities: dict[str, ActivityView] = {}
        self._heard: dict[str, float] = {}
        self._announced: dict[str, str] = {}
        self._states: dict[str, str] = {}
        self._stirred: dict[str, None] = {}
        self._touched: dict[str, None] = {}
        self._dismissed: set[str] = set()
        self.present: dict[str, Endpoint] = {}
        self.candidates = Candidates()
        self.failures: Counter[str] = Counter()

    async def load(self) -> None:
        """Takes up what the journal holds, oldest change first."""
        now = self._clock.now()
        self._index = SessionIndex(clamp(session, now) for session in await self._journal.sessions())
        self._touched |= dict.fromkeys(session.id for session in self.open_sessions())

    # ---- what is there -------------------------------------------------------------------------------

    def appeared(self, endpoint: Endpoint, announced_id: str = "", state: str = "") -> None:
        """The endpoint is there, perhaps at other routes or in another state than before."""
        self.present[endpoint.key] = endpoint
        self._announced[endpoint.key] = announced_id
        self._states[endpoint.key] = state
        self._stir(endpoint)

    def vanished(self, endpoint: Endpoint) -> None:
        if self.present.pop(endpoint.key, None):
            self._announced.pop(endpoint.key, None)
            self._states.pop(endpoint.key, None)
            self._dismissed.discard(endpoint.key)
            self._stir(endpoint)

    def dismiss(self, session: Session) -> None:
        """Where the session's module is now, it is no news until it has gone and come back."""
        known = {session.endpoint.key, *session.formerly, lan_key(session.hardware_id or session.announced_id)}
        for key in known & self.present.keys():
            self._dismissed.add(key)
            self.withdraw(key)

    def is_dismissed(self, key: str) -> bool:
        return key in self._dismissed

    def announced_at(self, key: str) -> str:
        """Who the module at an endpoint says it is on the LAN; nothing on a cable."""
        return self._announced.get(key, "")

    def announced_state(self, session: Session) -> str:
        """What the session's module says on the LAN of its configuration, as in Sighting; else nothing."""
        return self._states.get(lan_key(session.hardware_id or session.announced_id), "")

    def where(self, session: Session) -> Endpoint | None:
        """The endpoint at which the session's module is there now: its own one, or the module's on the LAN."""
        own = self.present.get(session.endpoint.key)
        return own or self.present.get(lan_key(session.hardware_id or session.announced_id))

    def take_stirred(self) -> list[str]:
        """The keys of the endpoints at which something has changed since the last call."""
        stirred, self._stirred = self._stirred, {}
        return list(stirred)

    def take_touched(self) -> list[Session]:
        """The unfinished sessions about which something has changed since the last call."""
        touched, self._touched = self._touched, {}
        sessions = (self._index.get(session_id) for session_id in touched)
        return [session for session in sessions if session and not session.milestone.ended]

    def touch(self, session_id: str) -> None:
        """The session is to be looked at, though nothing about itself has changed."""
        self._touched[session_id] = None

    def _stir(self, endpoint: Endpoint) -> None:
        self._stirred[endpoint.key] = None
        for session in self._concerned(endpoint.key):
            self.touch(session.id)
            self._publish(session)

    def _concerned(self, key: str) -> list[Session]:
        """The sessions that an endpoint matters to: what was last there, and whoever it says it is."""
        announced = self.announced_at(key) or key.removeprefix(lan_key(""))
        found = (self._index.latest_at(key), self._index.latest_of(announced), *self._index.claiming(announced))
        return list({session.id: session for session in found if session}.values())

    # ---- sessions ------------------------------------------------------------------------------------

    async def begin(self, endpoint: Endpoint) -> Session:
        return await self.add(secrets.token_hex(6), Seen(endpoint, self.announced_at(endpoint.key)))

    def propose(self, endpoint: Endpoint) -> None:
        """Shows a module that an operator may approve. Nothing is journalled."""
        announced = self.announced_at(endpoint.key)
        candidate, displaced = self.candidates.add(endpoint, announced, self._clock.now())
        for each in displaced:
            self._publish_gone(each)
        self._publish(candidate)

    def withdraw(self, key: str) -> None:
        """Forgets the candidate at the endpoint, if there is one."""
        if candidate := self.candidates.drop(key):
            self._publish_gone(candidate)

    async def admit(self, candidate: Session, by: str, *, named: str = "") -> Session:
        """The candidate becomes a session. Raises UcmError(module_unknown) if it has vanished."""
        if self.candidates.drop(candidate.endpoint.key) is None:
            raise UcmError(Code.MODULE_UNKNOWN, candidate.endpoint.address)
        await self.add(candidate.id, Seen(candidate.endpoint, candidate.announced_id))
        if named:
            await self.add(candidate.id, Named(named, by))
        return await self.add(candidate.id, Approved(by))

    async def add(self, session_id: str, event: Event) -> Session:
        """Journals the event; returns the session after it."""
        at = self._clock.now()
        session = evolve(self._index.get(session_id), event, session_id=session_id, at=at)
        await self._journal.append(session, event, at)
        self._index.put(session)
        if isinstance(event, Failed):
            self.failures[event.code.value] += 1
        self._heard[session_id] = self._clock.monotonic()
        self.touch(session_id)
        self._publish(session)
        return session

    def busy(self, session_id: str, step: Step, detail: str = "") -> None:
        """Shows what is being done to a module. Never stored: after a crash nothing is being done."""
        activity = ActivityView(step=step, detail=detail)
        if self._activities.get(session_id) != activity:
            self._activities[session_id] = activity
            self._heard[session_id] = self._clock.monotonic()
            self._publish(self._index[session_id])

    def idle(self, session_id: str) -> None:
        self._heard.pop(session_id, None)
        if self._activities.pop(session_id, None):
            self._publish(self._index[session_id])

    def steps_under_way(self) -> dict[str, int]:
        """How many modules are being worked on at each step."""
        counted = Counter(activity["step"] for activity in self._activities.values())
        return {step: counted[step] for step in get_args(Step)}

    def heard_of(self, session_id: str) -> float:
        """When, on the monotonic clock, something of a session that is worked on was last journalled or shown."""
        return self._heard.get(session_id, self._clock.monotonic())

    def session(self, session_id: str) -> Session:
        """The session, or the candidate, of that id."""
        return self._index.get(session_id) or self.candidates.get(session_id) or self._index[session_id]

    def find(self, session_id: str) -> Session | None:
        return self._index.get(session_id)

    def sessions(self) -> list[Session]:
        """Every session, oldest change first."""
        return self._index.all()

    def open_sessions(self) -> list[Session]:
        return self._index.open()

    def claiming(self, hardware_id: str, *, other_than: str) -> list[Session]:
        """The unfinished sessions of a module, or of an endpoint that only says it is that module."""
        return [session for session in self._index.claiming(hardware_id) if session.id != other_than]

    def latest_of(self, hardware_id: str) -> Session | None:
        """A module's latest session."""
        return self._index.latest_of(hardware_id)

    def origin_of(self, hardware_id: str) -> str:
        """The provisioning API that was last known to have the module's device, or nothing."""
        return self._index.origin_of(hardware_id)

    def named(self, hardware_id: str) -> str:
        """What an operator last called the module, or nothing."""
        return self._index.named(hardware_id)

    def latest(self) -> list[Session]:
        """The latest session of every module that has proved who it is."""
        return self._index.latest()

    def for_campaign(self, campaign_id: str) -> dict[str, Session]:
        """The sessions with a task of the campaign, by hardware id."""
        return self._index.for_campaign(campaign_id)

    def latest_at(self, key: str) -> Session | None:
        """The session that last had to do with an endpoint, even if its module was met elsewhere since."""
        return self._index.latest_at(key)

    def counts(self) -> dict[str, int]:
        """How many modules, and endpoints not yet identified, have come how far."""
        return dict(Counter(session.milestone.value for session in self._shown()))

    # ---- what is shown -------------------------------------------------------------------------------

    def views(self) -> list[ModuleView]:
        """One view for each known module (its latest session) and each endpoint not yet identified."""
        return [self.view(session) for session in self._shown()]

    def known_views(self) -> list[ModuleView]:
        """The same without candidates, which may be anybody's."""
        return [self.view(session) for session in self.known()]

    def _shown(self) -> list[Session]:
        return [*self.known(), *self.candidates.all()]

    def known(self) -> list[Session]:
        """The latest session of each module, and those whose module is not identified yet; no candidates."""
        latest: dict[str, Session] = {}
        for session in self._index.all():
            if session.hardware_id or session.left_alone_by or not session.milestone.ended:
                latest[session.hardware_id or session.id] = session
        return [session for session in latest.values() if not session.absorbed_into and not session.forgotten]

    def view(self, session: Session) -> ModuleView:
        activity, known_as = self._activities.get(session.id), self._index.known_as(session.hardware_id or "")
        return module_view(session, where=self.where(session), activity=activity, known_as=known_as)

    def _publish(self, session: Session) -> None:
        self._feed.publish(self.view(session))

    def _publish_gone(self, candidate: Session) -> None:
        """Ends a candidate for whoever watches."""
        why = Cancelled("gone before it was approved")
        self._publish(evolve(candidate, why, session_id=candidate.id, at=self._clock.now()))
