"""What happens to a session, as the journal keeps it. Facts in the past tense, never a secret."""

from __future__ import annotations

from dataclasses import dataclass

from ucm_provision.core.errors import Code
from ucm_provision.core.model import Endpoint, Evidence, Product, ProvisionArguments, TimeSource


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a module is, read inside the secure session."""

    hardware_id: str
    product: Product
    model: str
    firmware: str


@dataclass(frozen=True, slots=True)
class Reach:
    """How a module reaches the broker, but for its credentials."""

    channel_id: str
    mqtt_host: str
    mqtt_port: int
    time_source: TimeSource


@dataclass(frozen=True, slots=True)
class PushIntent:
    """What is about to be written to a module. ``sha256`` names the bytes without telling them.

    Attributes:
        networks: The SSIDs in it, in order of preference; empty: the module keeps those that it has.
        not_before, not_after: When its certificate is valid, in seconds since the epoch; None for a password.
    """

    transaction: bytes
    sha256: bytes
    base_generation: int
    networks: tuple[str, ...] = ()
    not_before: float | None = None
    not_after: float | None = None
    reach: Reach | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """What a campaign wants of one module.

    Attributes:
        networks: The SSIDs that it is to hold, in order of preference.
        only: The network that it must get online on, tried alone while on trial; empty: any of them.
        prove: The network is proved with the module's present credentials first, before the API is asked.
    """

    campaign: str
    networks: tuple[str, ...]
    only: str = ""
    prove: bool = False


@dataclass(frozen=True, slots=True)
class SetBack:
    """The module did not get online in its trial and returned to its old configuration by itself."""

    code: Code
    detail: str


@dataclass(frozen=True, slots=True)
class Compensating:
    """It does not get online with its old configuration either: it gets fresh credentials, and keeps its networks."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Something appeared that may be a module. ``announced_id``: who it says it is, where it says so."""

    endpoint: Endpoint
    announced_id: str = ""


@dataclass(frozen=True, slots=True)
class Moved:
    """The session's module was found again, perhaps at another endpoint."""

    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Announced:
    """Who the module at an endpoint says it is, before anything was proved."""

    hardware_id: str


@dataclass(frozen=True, slots=True)
class Approved:
    """An operator said that the module may be provisioned, whatever the site's policy."""

    by: str


@dataclass(frozen=True, slots=True)
class Named:
    """An operator said what the module is called. That goes before the manifest."""

    name: str
    by: str


@dataclass(frozen=True, slots=True)
class Identified:
    identity: Identity


@dataclass(frozen=True, slots=True)
class ArgumentsFixed:
    """With what the API will be asked. Journalled before the first call, repeated for ever."""

    arguments: ProvisionArguments


@dataclass(frozen=True, slots=True)
class DeviceAdded:
    """The API answered with the module's device. ``origin``: which API, by scheme, host and port."""

    device_id: str
    slug: str
    origin: str = ""


@dataclass(frozen=True, slots=True)
class SlaveArgumentsFixed:
    """With what the API will be asked for a LINK slave of the session's master."""

    arguments: ProvisionArguments
    model: str


@dataclass(frozen=True, slots=True)
class SlaveAdded:
    """The API answered with a LINK slave's device."""

    hardware_id: str
    device_id: str


@dataclass(frozen=True, slots=True)
class SlugSet:
    """The device has the slug that the manifest wishes."""

    slug: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something is not as it was wished, but stands in nobody's way; ``text`` is a sentence for a person."""

    text: str


@dataclass(frozen=True, slots=True)
class Checked:
    """The new connection works from this box; ``warnings`` are sentences for a person."""

    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PushIntended:
    intent: PushIntent


@dataclass(frozen=True, slots=True)
class Committed:
    """The module holds the intended configuration, on trial or active."""

    generation: int


@dataclass(frozen=True, slots=True)
class Adopted:
    """The module's active configuration names a device that the API knows: nothing needs to be pushed."""

    device_id: str
    slug: str
    generation: int
    owner: str
    origin: str = ""
    networks: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class LeftToAppear:
    """The module has confirmed what it holds, and goes to its place. It is verified when somebody sees it there."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """A look at a verified module found it well (no code), or not any more. Kept only where that has changed."""

    code: Code | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt ended. What follows is decided by the table in ``core.errors``.

    ``retry_after``: the seconds that the other side asked us to wait, if it did.
    """

    code: Code
    detail: str = ""
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class HoldCleared:
    """The session goes on; ``why`` says who or what let it."""

    why: str


@dataclass(frozen=True, slots=True)
class ReprovisionAsked:
    """The module is to be provisioned anew. Begins a session, or turns an unfinished one round.

    ``task`` and what follows: of a campaign, which asks the API for just what was asked before. ``restores``: the
    module has lost its configuration.
    """

    endpoint: Endpoint
    identity: Identity
    by: str
    task: Task | None = None
    arguments: ProvisionArguments | None = None
    reach: Reach | None = None
    device_id: str = ""
    restores: bool = False


@dataclass(frozen=True, slots=True)
class Absorbed:
    """The endpoint turned out to carry the module of another session, which goes on with it."""

    into: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The session has ended without a result. ``by``: the operator who wants the module left alone, if one does."""

    why: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class ResetIntended:
    """An operator has the module wiped. Journalled before it is told: what became of that may never be known."""

    by: str


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The module is decommissioned: nobody here knows it any more. ``wiped``: it holds nothing any more either."""

    by: str
    wiped: bool = False


Event = (
    Seen
    | Moved
    | Announced
    | Approved
    | Named
    | Identified
    | ArgumentsFixed
    | DeviceAdded
    | SlaveArgumentsFixed
    | SlaveAdded
    | SlugSet
    | Warned
    | Checked
    | PushIntended
    | Committed
    | Adopted
    | Verified
    | SetBack
    | Compensating
    | LeftToAppear
    | Inspected
    | Failed
    | HoldCleared
    | ReprovisionAsked
    | Absorbed
    | Cancelled
    | ResetIntended
    | Forgotten
)

EVENT_TYPES: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        Seen,
        Moved,
        Announced,
        Approved,
        Named,
        Identified,
        ArgumentsFixed,
        DeviceAdded,
        SlaveArgumentsFixed,
        SlaveAdded,
        SlugSet,
        Warned,
        Checked,
        PushIntended,
        Committed,
        Adopted,
        Verified,
        SetBack,
        Compensating,
        LeftToAppear,
        Inspected,
        Failed,
        HoldCleared,
        ReprovisionAsked,
        Absorbed,
        Cancelled,
        ResetIntended,
        Forgotten,
    )
}
