"""Who belongs to a campaign, who cannot be reached now, and who is left out for which reason."""

from __future__ import annotations

from dataclasses import dataclass, field

from ucm_provision.core import policy
from ucm_provision.core.campaign import CampaignKind
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.kinds import WITH_CONFIG
from ucm_provision.core.machine import Milestone, Session, Waits
from ucm_provision.core.plan import SitePlan
from ucm_provision.engine.proofs import Proofs
from ucm_provision.engine.record import Record
from ucm_provision.engine.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class Target:
    """What a campaign wants: networks in order of preference, and the one to get online on, if it must be one."""

    kind: CampaignKind
    networks: tuple[str, ...]
    only: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A module and what is to be said about it: why it cannot be reached now, or why it is left out."""

    session: Session
    why: str = ""


@dataclass(slots=True)
class Choice:
    members: list[Candidate] = field(default_factory=list)
    left_out: list[Candidate] = field(default_factory=list)


class Selection:
    """Looks at every known module; changes nothing."""

    def __init__(self, record: Record, supervisor: Supervisor, plan: SitePlan, proofs: Proofs) -> None:
        self._record = record
        self._supervisor = supervisor
        self._plan = plan
        self._proofs = proofs

    def target(self, kind: CampaignKind, ssid: str) -> Target:
        """The networks that a move concerning ``ssid`` leads to.

        Raises:
            UcmError: wifi_unknown, or request_invalid if none would be left.
        """
        known = [network.ssid for network in self._plan.wifi]
        if ssid not in known:
            raise UcmError(Code.WIFI_UNKNOWN, f"known are: {', '.join(known) or 'none'}")
        others = [each for each in known if each != ssid]
        if kind is CampaignKind.STAGE:
            return Target(kind, (*others, ssid)[-policy.WIFI_NETWORKS_LARGEST :])
        if kind is CampaignKind.CHANGE:
            return Target(kind, (ssid, *others)[: policy.WIFI_NETWORKS_LARGEST], ssid)
        if not others:
            raise UcmError(Code.REQUEST_INVALID, f'"{ssid}" is the only network that the modules would have')
        return Target(kind, tuple(others))

    def profiles_without(self, networks: tuple[str, ...]) -> list[str]:
        """The site's networks that are not among these."""
        return [network.ssid for network in self._plan.wifi if network.ssid not in networks]

    def choose(self, target: Target) -> Choice:
        """Every known module, the best canaries first: reachable, and with a strong signal."""
        choice = Choice()
        for session in self._record.latest():
            if why := self._why_not(session, target):
                choice.left_out.append(Candidate(session, why))
            else:
                choice.members.append(Candidate(session, self._why_unreachable(session)))
        choice.members.sort(key=_as_canary)
        return choice

    def is_reachable(self, hardware_id: str) -> bool:
        session = self._record.latest_of(hardware_id)
        return session is not None and not self._supervisor.works_on(session) and not self._why_unreachable(session)

    def why_unreachable(self, hardware_id: str) -> str:
        """Why nothing can be done with the module now, or nothing if something can."""
        session = self._record.latest_of(hardware_id)
        return self._why_unreachable(session) if session else ""

    def _why_not(self, session: Session, target: Target) -> str:
        hold = session.hold
        waits = hold is not None and hold.waits is Waits.OPERATOR and session.device_id != ""
        if session.managed_by not in ("", self._plan.box_id):
            return f'managed by "{session.managed_by}"'
        if hold and hold.code is Code.WIPE_UNFINISHED:
            return "was to be wiped"
        if session.arguments and session.arguments.kind not in WITH_CONFIG:
            return "has no configuration of its own"
        if session.milestone is not Milestone.VERIFIED and not waits:
            return "is not provisioned yet"
        return "has it already" if _has(session, target) else ""

    def _why_unreachable(self, session: Session) -> str:
        where = self._record.where(session)
        if session.left_alone_by:
            return f"left alone, as {session.left_alone_by} wants"
        if where is None:
            return "not there now: bring a cable, or switch it on"
        if not self._proofs.knows(session, where.carrier):
            return "its proof of possession is not known: ucmctl approve, or a line of the manifest"
        return ""


def _has(session: Session, target: Target) -> bool:
    on = session.evidence.ssid if session.evidence else ""
    return session.milestone is Milestone.VERIFIED and session.networks == target.networks and target.only in ("", on)


def _as_canary(candidate: Candidate) -> tuple[bool, bool, int]:
    session = candidate.session
    signal = session.evidence.rssi_dbm if session.evidence else -128
    return (candidate.why != "", session.reach is None, -signal)
