"""Which session is meant, without a look at all of them: by endpoint, by module, by what is still open."""

from __future__ import annotations

from collections.abc import Iterable

from ucm_provision.core.machine import Session


class SessionIndex:
    """Sessions by id, oldest change first, and the latest ones by endpoint and by hardware id."""

    def __init__(self, sessions: Iterable[Session] = ()) -> None:
        self._sessions: dict[str, Session] = {}
        self._open: dict[str, Session] = {}
        self._at: dict[str, str] = {}
        self._of: dict[str, str] = {}
        self._origin_of: dict[str, str] = {}
        self._named: dict[str, str] = {}
        self._known_as: dict[str, str] = {}
        self._tasked: dict[str, dict[str, str]] = {}
        self._claiming: dict[str, dict[str, None]] = {}
        for session in sessions:
            self.put(session)

    def put(self, session: Session) -> None:
        """The session as it is now: it becomes the one that changed last."""
        before = self._sessions.pop(session.id, None)
        self._sessions[session.id] = session
        self._keep_open(session, before)
        for key in (session.endpoint.key, *session.formerly):
            self._at[key] = session.absorbed_into or session.id
        if session.forgotten:
            self._forget(session.hardware_id or "")
        elif session.hardware_id and not session.absorbed_into:
            self._of[session.hardware_id] = session.id
            if session.task:
                self._tasked.setdefault(session.task.campaign, {})[session.hardware_id] = session.id
            if session.name:
                self._known_as[session.hardware_id] = session.name
            if session.named:
                self._named[session.hardware_id] = session.named
            if session.origin:
                self._origin_of[session.hardware_id] = session.origin

    def _forget(self, hardware_id: str) -> None:
        """What remains are sessions that are over: nothing here leads from the module to them."""
        for known in (self._of, self._origin_of, self._named, self._known_as, *self._tasked.values()):
            known.pop(hardware_id, None)

    def _keep_open(self, session: Session, before: Session | None) -> None:
        self._open.pop(session.id, None)
        if before:
            self._claim_no_more(before)
        if session.milestone.ended:
            return
        self._open[session.id] = session
        if claimed := _claimed(session):
            self._claiming.setdefault(claimed, {})[session.id] = None

    def _claim_no_more(self, before: Session) -> None:
        claimed = _claimed(before)
        others = self._claiming.get(claimed, {})
        others.pop(before.id, None)
        if not others:
            self._claiming.pop(claimed, None)

    def __getitem__(self, session_id: str) -> Session:
        return self._sessions[session_id]

    def get(self, session_id: str) -> Session | None:
        return self._sessions.get(session_id)

    def all(self) -> list[Session]:
        """Every session, oldest change first."""
        return list(self._sessions.values())

    def open(self) -> list[Session]:
        """The unfinished ones, oldest change first."""
        return list(self._open.values())

    def claiming(self, hardware_id: str) -> list[Session]:
        """The unfinished sessions of a module that has proved to be this one, or only says that it is."""
        return [self._sessions[session_id] for session_id in self._claiming.get(hardware_id, ())]

    def latest_of(self, hardware_id: str) -> Session | None:
        """A module's latest session."""
        return self._sessions.get(self._of.get(hardware_id, ""))

    def for_campaign(self, campaign_id: str) -> dict[str, Session]:
        """The sessions with a task of the campaign, by hardware id."""
        found = ((hw, self._sessions[each]) for hw, each in self._tasked.get(campaign_id, {}).items())
        return {hw: session for hw, session in found if session.task and session.task.campaign == campaign_id}

    def latest(self) -> list[Session]:
        """The latest session of every module that has proved who it is."""
        return [self._sessions[session_id] for session_id in self._of.values()]

    def origin_of(self, hardware_id: str) -> str:
        return self._origin_of.get(hardware_id, "")

    def named(self, hardware_id: str) -> str:
        return self._named.get(hardware_id, "")

    def known_as(self, hardware_id: str) -> str:
        """What a module was called last, in whichever session."""
        return self._known_as.get(hardware_id, "")

    def latest_at(self, key: str) -> Session | None:
        """The session that last had to do with an endpoint, even if its module was met elsewhere since."""
        return self._sessions.get(self._at.get(key, ""))


def _claimed(session: Session) -> str:
    return session.hardware_id or session.announced_id
