"""The shapes of what the daemon hands to others than its own command line and page: documents and messages.

JSON objects with these keys; within a version keys are only ever added. Times are seconds since the Unix epoch.
There is never a secret in any of them.
"""

from __future__ import annotations

from typing import Literal, TypedDict

from ucm_provision.wire import AttachedView, EvidenceView, HoldView, OrderView, PauseView, TroubleView

# ---- the commissioning report --------------------------------------------------------------------

REPORT_VERSION = 1

Result = Literal["verified", "verified_with_warning", "not_well", "not_verified"]
Quality = Literal["strong", "good", "fair", "weak"]


class ReasonView(TypedDict):
    """Why a module is not verified, or no longer well: a sentence for a person, and the failure's stable name."""

    code: str | None
    message: str


class SignalView(TypedDict):
    rssi_dbm: int
    quality: Quality


class PastFailureView(TypedDict):
    """What failed on the way: how often, and the last time in words."""

    code: str
    message: str
    times: int
    first_at: float
    last_at: float


class ReportedModule(TypedDict):
    """One module. ``how``: in words, how it was verified; ``evidence`` has the same in parts.

    ``signal``: null where the module did not report one.
    """

    result: Result
    name: str | None
    hardware_id: str | None
    device_id: str | None
    slug: str | None
    product: str | None
    model: str | None
    firmware: str | None
    endpoint: str
    carrier: Literal["serial", "http"]
    protocol: str | None
    adopted: bool
    managed_by: str | None
    seen_at: float
    verified_at: float | None
    how: str | None
    evidence: EvidenceView | None
    signal: SignalView | None
    reason: ReasonView | None
    warnings: list[str]
    failures: list[PastFailureView]
    attached: list[AttachedView]


class ReportedSite(TypedDict):
    name: str | None
    id: str | None


class ReportCounts(TypedDict):
    """``older``: left out, because nothing has changed about them since ``since``.

    ``unapproved``: on the LAN, nobody has approved them, and they are not part of the report.
    """

    modules: int
    verified: int
    verified_with_warning: int
    not_well: int
    not_verified: int
    older: int
    unapproved: int


class ReportView(TypedDict):
    """The commissioning report. ``by_hand``: devices that were added without a cable, and replacements."""

    version: int
    created_at: float
    since: float | None
    site: ReportedSite
    box: str
    engineer: str | None
    api: str
    software: str
    counts: ReportCounts
    modules: list[ReportedModule]
    by_hand: list[OrderView]


# ---- messages for a fleet --------------------------------------------------------------------------

FLEET_VERSION = 1

Change = Literal["milestone", "hold", "trouble"]


class FleetModule(TypedDict):
    session: str
    hardware_id: str | None
    name: str | None
    device_id: str | None
    slug: str | None
    product: str | None
    model: str | None
    firmware: str | None
    endpoint: str
    carrier: Literal["serial", "http"]


class FleetEvent(TypedDict):
    """Something about a module has changed: ``changed`` says what, the rest how it is now.

    ``started_at`` and ``sequence``: events of one run of the daemon are numbered from 1, so that a gap shows. An event
    may come twice, with the same number.
    """

    version: int
    box: str
    started_at: float
    sequence: int
    at: float
    changed: list[Change]
    module: FleetModule
    milestone: str
    hold: HoldView | None
    trouble: TroubleView | None


class FleetCampaign(TypedDict):
    id: str
    kind: Literal["stage", "change", "drop"]
    state: Literal["proposed", "running", "paused", "done", "aborted"]
    members: dict[str, int]


class FleetStatus(TypedDict):
    """The box at a glance. ``needs_person`` and ``unwell``: modules by the code of the failure.

    ``sequence``: of the last event, 0 before the first. ``dropped``: how many events the fleet never got.
    """

    version: int
    box: str
    site: ReportedSite
    software: str
    started_at: float
    sequence: int
    dropped: int
    modules: dict[str, int]
    needs_person: dict[str, int]
    unwell: dict[str, int]
    paused: PauseView | None
    api: str
    witness: str
    campaign: FleetCampaign | None
