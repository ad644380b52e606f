"""The shapes of the daemon's public interface, shared by the control socket and the command line.

JSON objects with these keys; keys are only ever added. Times are seconds since the Unix epoch, digests
and transactions never appear.
"""

from __future__ import annotations

from typing import Literal, TypedDict

API_VERSION = 1

Step = Literal["identify", "provision", "check", "push", "verify"]


class HoldView(TypedDict):
    """What a module waits for. ``message`` is the sentence for a person, ``until`` when it goes on by itself."""

    waits: Literal["retry_at", "device_gone", "operator"]
    code: str
    message: str
    until: float | None


class ActivityView(TypedDict):
    """What is being done to a module at this moment."""

    step: Step
    detail: str


class EvidenceView(TypedDict):
    """Why a module counts as verified."""

    generation: int
    reported_phase: str
    reported_at: float
    rssi_dbm: int
    ssid: str
    seen_by: Literal["witness", "api"]
    seen_what: str
    seen_generation: int | None
    seen_at: float


class ModuleView(TypedDict):
    """One module, or one endpoint whose module is not known yet (``hardware_id`` null)."""

    session: str
    endpoint: str
    present: bool
    hardware_id: str | None
    product: str | None
    model: str | None
    firmware: str | None
    name: str | None
    protocol: str | None
    device_id: str | None
    slug: str | None
    milestone: str
    adopted: bool
    managed_by: str | None
    generation: int | None
    warnings: list[str]
    hold: HoldView | None
    activity: ActivityView | None
    evidence: EvidenceView | None
    attempt: int
    seen_at: float
    updated_at: float


class TimelineEntry(TypedDict):
    """One event of a module's history, in words."""

    at: float
    event: str
    text: str


class ModuleDetail(TypedDict):
    module: ModuleView
    timeline: list[TimelineEntry]


class ModuleList(TypedDict):
    modules: list[ModuleView]


class ModuleAnswer(TypedDict):
    """The module after what was asked of it. The work itself goes on after the answer."""

    module: ModuleView


class ApproveRequest(TypedDict, total=False):
    """``pop``: the proof of possession from the module's label; ``username``: where its verifier wants another."""

    pop: str
    username: str


class ApiView(TypedDict):
    url: str
    site_id: str | None


class PauseView(TypedDict):
    code: str
    message: str
    until: float


class StatusView(TypedDict):
    """The site at a glance. ``modules`` counts by milestone."""

    version: str
    api_version: int
    box_id: str
    started_at: float
    api: ApiView
    witness: str
    wifi: list[str]
    paused: PauseView | None
    modules: dict[str, int]


class ErrorBody(TypedDict):
    code: str
    message: str


class ErrorAnswer(TypedDict):
    """The body of every answer that is not a success."""

    error: ErrorBody
