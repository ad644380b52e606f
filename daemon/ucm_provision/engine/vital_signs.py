"""What an operations engineer watches, counted at one moment. How many there are, never which: metrics stay few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from ucm_provision.core.campaign import MemberState
from ucm_provision.core.machine import Milestone, Session
from ucm_provision.core.model import Carrier
from ucm_provision.core.orders import OrderState
from ucm_provision.core.wanted import Cause
from ucm_provision.engine.engine import Engine


@dataclass(frozen=True, slots=True)
class CampaignSigns:
    """The campaign that is open. ``members``: by state, every state."""

    id: str
    kind: Literal["stage", "change", "drop"]
    state: Literal["proposed", "running", "paused", "done", "aborted"]
    members: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class VitalSigns:
    """Counts, by the public names of what is counted.

    Attributes:
        modules: By milestone, every milestone.
        waiting: By what they wait for and by the failure's code.
        unwell: Verified modules that are no longer well, by code.
        under_way: Conversations with modules, by step.
        failures: Attempts that failed since the daemon began, by code.
        candidates: Modules on the LAN that nobody has approved.
        outdated: Modules that hold other networks than the site's.
        api_up: Whether the last call reached the provisioning API.
        paused: The code of what keeps every module waiting, or nothing.
        certificate_ends_at: When the first of the modules' certificates ends, in seconds since the epoch.
    """

    modules: Mapping[str, int]
    waiting: Mapping[tuple[str, str], int]
    unwell: Mapping[str, int]
    under_way: Mapping[str, int]
    failures: Mapping[str, int]
    endpoints: Mapping[str, int]
    candidates: int
    outdated: int
    orders: Mapping[str, int]
    api_up: bool
    paused: str
    certificate_ends_at: float | None
    campaign: CampaignSigns | None


def take_vital_signs(engine: Engine) -> VitalSigns:
    record, known = engine.record, engine.record.known()
    holds = (session.hold for session in known if session.hold)
    pause = engine.supervisor.pause
    return VitalSigns(
        modules=_every(Milestone, (session.milestone for session in known)),
        waiting=Counter((hold.waits.value, hold.code.value) for hold in holds),
        unwell=Counter(each.trouble.code.value for each in known if each.trouble and each.trouble.code),
        under_way=record.steps_under_way(),
        failures=dict(record.failures),
        endpoints=_every(Carrier, (endpoint.carrier for endpoint in record.present.values())),
        candidates=len(record.candidates.all()),
        outdated=engine.upkeep.count(Cause.NETWORKS),
        orders=_every(OrderState, (order.state for order in engine.book.orders())),
        api_up=engine.gate.outage is None,
        paused=pause.error.code.value if pause else "",
        certificate_ends_at=min(_certificate_ends(record.latest()), default=None),
        campaign=_campaign_signs(engine),
    )


def _every(kinds: type[Milestone | Carrier | OrderState | MemberState], found: Iterable[str]) -> dict[str, int]:
    """Zeros too: what nobody has counted cannot be told from what is missing."""
    counted = Counter(str(each) for each in found)
    return {str(kind): counted[str(kind)] for kind in kinds}


def _certificate_ends(sessions: Iterable[Session]) -> Iterable[float]:
    for session in sessions:
        intent = session.intent
        if session.milestone is Milestone.VERIFIED and intent and intent.not_after is not None:
            yield intent.not_after


def _campaign_signs(engine: Engine) -> CampaignSigns | None:
    campaign = engine.campaigns.open()
    if campaign is None:
        return None
    members = _every(MemberState, (member.state for member in engine.campaigns.members(campaign)))
    return CampaignSigns(campaign.id, campaign.kind.value, campaign.state.value, members)
