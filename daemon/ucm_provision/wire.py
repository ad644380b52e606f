"""The shapes of the daemon's public interface, shared by the control socket and the command line.

JSON objects with these keys; keys are only ever added. Times are seconds since the Unix epoch, digests
and transactions never appear.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, Required, TypedDict

API_VERSION = 1

# How far a module has come. What it waits for, or what is being done to it, is told beside that.
MILESTONES = ("SEEN", "IDENTIFIED", "PROVISIONED", "PUSHED", "VERIFIED", "REJECTED", "CANCELLED")

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


class TroubleView(TypedDict):
    """What the last look at a verified module found wrong."""

    code: str
    message: str


class AttachedView(TypedDict):
    """A LINK slave, reached through the master whose view this is part of."""

    hardware_id: str
    model: str
    name: str
    device_id: str | None


class ModuleView(TypedDict):
    """One module, or one endpoint whose module is not known yet (``hardware_id`` null).

    ``endpoint``: a port, or the name under which a module announces itself on the LAN; ``carrier`` tells which,
    ``routes`` the module's present addresses there, ``host:port`` each. ``announced_id``: who the module at an
    endpoint that is not known yet says it is, unproved. ``appears_later``: configured on a bench, and verified when it
    is seen at its place. ``left_alone_by``: the operator who wants it left alone; what is cancelled without one went up
    in another session, or was nothing.
    """

    session: str
    endpoint: str
    carrier: Literal["serial", "http"]
    routes: list[str]
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
    appears_later: bool
    trouble: TroubleView | None
    attempt: int
    announced_id: str | None
    attached: list[AttachedView]
    left_alone_by: str | None
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


class HeardView(TypedDict):
    """A Wi-Fi network that a module hears. ``known``: the site's profiles have it."""

    ssid: str
    bssid: str
    channel: int
    rssi_dbm: int
    security: str
    known: bool


class ScanAnswer(TypedDict):
    networks: list[HeardView]


class InspectionRequest(TypedDict, total=False):
    """``cables``: a serial port may be opened for it."""

    cables: bool


class InspectionAnswer(TypedDict):
    """What a look at a verified module found. Nothing was changed."""

    module: ModuleView
    well: bool
    code: str | None
    message: str | None


class ApproveRequest(TypedDict, total=False):
    """``pop``: the proof of possession from the module's label; ``username``: where its verifier wants another.

    ``name``: what its device is to be called.
    """

    pop: str
    username: str
    name: str


class NameRequest(TypedDict):
    """``name``: what the module's device is to be called, 1 to 128 characters on one line."""

    name: str


class ForgetRequest(TypedDict, total=False):
    """``wipe``: the module forgets everything, too. ``force``: even if another box has configured it."""

    wipe: bool
    force: bool


class ForgetAnswer(TypedDict):
    """The module as it was last. Its device, if it has one, stays in the provisioning API.

    ``listed``: the manifest still expects it, so that it is provisioned again when it is met again.
    """

    module: ModuleView
    wiped: bool
    listed: bool


class OrderView(TypedDict):
    """Something that an operator, or the manifest, asked of the provisioning API beside the modules on cables.

    ``kind``: the provisioning call, or ``replace``. ``message``: why it was refused, or what it waits for until
    ``until``.
    """

    id: str
    kind: str
    name: str
    hardware_id: str | None
    device_id: str | None
    slug: str | None
    state: Literal["open", "done", "refused", "cancelled"]
    code: str | None
    message: str | None
    until: float | None
    by: str
    placed_at: float
    updated_at: float


class OrderList(TypedDict):
    orders: list[OrderView]


class OrderAnswer(TypedDict):
    """How far an order is. ``config`` is there once: when it was asked for, and the order is done in time."""

    order: OrderView
    config: NotRequired[dict[str, Any]]


class GatewayRequest(TypedDict):
    version: str
    name: str
    timezone: str
    latitude: float
    longitude: float


class ProvisionRequest(TypedDict, total=False):
    """One provisioning call by hand; the keys that its kind has. ``config``: the configuration is wanted back.

    ``master`` and ``runtime`` are device ids, or what a module on a cable here is called.
    """

    kind: Required[str]
    name: str
    hardware_id: str
    site_id: str
    protocol: str
    device_type: str
    master: str
    runtime: str
    blueprint_id: str
    slug: str
    gateway: GatewayRequest
    config: bool


class ReplaceRequest(TypedDict):
    """``old``: the dead module, or its device's id or slug. ``new``: the hardware id of the new one."""

    old: str
    new: str


class ManifestText(TypedDict):
    """The expected modules as CSV. It holds proofs of possession."""

    csv: str


class ManifestRequest(TypedDict):
    """``dry_run``: only say what is wrong with it."""

    csv: str
    dry_run: bool


class ManifestAnswer(TypedDict):
    """``problems``: line, column and what was expected, each; with any of them nothing was changed."""

    modules: int
    problems: list[str]


class WifiNetworkView(TypedDict):
    """``open``: it has no passphrase. ``bssid``: the only access point that is used, ``aa:bb:cc:dd:ee:ff``."""

    ssid: str
    open: bool
    hidden: bool
    bssid: str | None


class WifiView(TypedDict):
    """The site's networks in order of preference. ``configured``: what the configuration says, in force or not."""

    networks: list[WifiNetworkView]
    chosen_by: Literal["configuration", "operator"]
    configured: list[str]


class WifiRequest(TypedDict, total=False):
    """A network to add, or to put in place of the one of its name. ``passphrase``: empty for an open network.

    ``first``: as the preferred one; otherwise it keeps its place, or comes last.
    """

    ssid: Required[str]
    passphrase: str
    hidden: bool
    bssid: str
    first: bool


class ApiView(TypedDict):
    """``url`` is empty while no Gateway has been accepted."""

    url: str
    site_id: str | None


class GatewayView(TypedDict):
    """A Gateway that announces itself on the LAN; only ``accepted`` ones are ever asked."""

    name: str
    host: str
    port: int
    addresses: list[str]


class ApiChoice(TypedDict):
    """Which provisioning API is asked, and why. ``accepted``: the name of the Gateway that an operator chose."""

    url: str
    chosen_by: Literal["configuration", "operator", "nobody"]
    accepted: str | None
    gateways: list[GatewayView]


class AcceptRequest(TypedDict, total=False):
    """``gateway``: its name, host or address. ``ca``: the only CA to trust for it, as PEM; it then speaks HTTPS."""

    gateway: Required[str]
    token: Required[str]
    ca: str


class CampaignMemberView(TypedDict):
    """``message``: why it failed, or what it waits for."""

    hardware_id: str
    name: str | None
    state: Literal["pending", "running", "away", "done", "failed"]
    code: str | None
    message: str | None


class CampaignView(TypedDict):
    """A move of many modules to other networks. ``only``: the network that each must get online on, if it must be one.

    ``reason``: why it paused. ``counts``: members by state. ``idle``: nobody is under way, and nobody who has not
    begun can be reached now.
    """

    id: str
    kind: Literal["stage", "change", "drop"]
    networks: list[str]
    only: str | None
    state: Literal["proposed", "running", "paused", "done", "aborted"]
    reason: str | None
    by: str
    placed_at: float
    updated_at: float
    canary: int
    wave: int
    max_failures: int
    idle: bool
    counts: dict[str, int]
    members: list[CampaignMemberView]


class CampaignList(TypedDict):
    campaigns: list[CampaignView]


class CampaignAnswer(TypedDict):
    campaign: CampaignView


class ChosenView(TypedDict):
    """A module and what a campaign would do about it. ``why``: why it cannot be reached now, or is left out."""

    hardware_id: str
    name: str | None
    why: str | None


class CampaignPlan(TypedDict):
    """What a campaign would do, were it begun now."""

    networks: list[str]
    only: str | None
    members: list[ChosenView]
    left_out: list[ChosenView]


class CampaignRequest(TypedDict, total=False):
    """``dry_run``: only say what would be done."""

    kind: Required[Literal["stage", "change", "drop"]]
    ssid: Required[str]
    canary: int
    wave: int
    max_failures: int
    dry_run: bool


class IdentifyRequest(TypedDict, total=False):
    """``seconds``: how long the module blinks, 1 to 60."""

    seconds: int


class PauseView(TypedDict):
    code: str
    message: str
    until: float


class StatusView(TypedDict):
    """The site at a glance. ``modules`` counts by milestone, ``orders`` by state.

    ``witness`` and ``fleet`` are "connected", or say why not; ``fleet`` is null where none is configured.
    ``box_wifi``: the network that this box itself is on. ``campaign``: the one that is open. ``outdated``: how many
    modules hold other networks than the site's.
    """

    version: str
    api_version: int
    box_id: str
    started_at: float
    api: ApiView
    witness: str
    fleet: str | None
    wifi: list[str]
    box_wifi: str | None
    campaign: str | None
    outdated: int
    paused: PauseView | None
    modules: dict[str, int]
    orders: dict[str, int]


class PageView(TypedDict):
    """Who a browser is signed in as. ``private``: reading needs a sign-in, too."""

    signed_in_as: str | None
    private: bool


class PageInvitation(TypedDict):
    """Addresses that each sign a browser in to the page, one of them, once, within ``seconds``.

    ``fingerprint``: of the page's certificate on the LAN, SHA-256, where the daemon made that itself.
    """

    urls: list[str]
    seconds: int
    fingerprint: str | None


class ErrorBody(TypedDict):
    code: str
    message: str


class ErrorAnswer(TypedDict):
    """The body of every answer that is not a success."""

    error: ErrorBody
