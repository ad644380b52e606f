"""What the registry keeps: rows as values."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from ucm_site_api.messages import DeviceType, EmbeddedType, Location, Protocol, Role

# The platform's roles are a total order: each includes those before it.
ROLES: tuple[Role, ...] = ("READONLY", "USER", "OWNER", "INSTALLER", "VENDOR", "SYSTEM")

T = TypeVar("T")


@dataclass(frozen=True)
class Site:
    """One site; the server has one of its own from its first start on."""

    id: str
    name: str
    timezone: str
    location: Location | None = None


@dataclass(frozen=True)
class SiteChange:
    """What becomes of a site; None leaves what there is."""

    name: str | None = None
    timezone: str | None = None
    location: Location | None = None


@dataclass(frozen=True)
class Token:
    """An access token, by its digest's beginning: the token itself is nowhere. `site_id` None: every site."""

    id: str
    role: Role
    name: str
    site_id: str | None
    created_at: datetime


@dataclass(frozen=True)
class DeviceDraft:
    """What a provisioning call says of a device.

    Without `site_id` the server's only site is meant. `slug` is one that was asked for; without it the name
    suggests one. Without `hardware_id` the device is always a new one.
    """

    type: DeviceType
    site_id: str | None
    name: str
    hardware_id: str | None = None
    channel_id: str | None = None
    slug: str | None = None
    embedded_type: EmbeddedType | None = None
    upstream_id: str | None = None
    blueprint_id: str | None = None


@dataclass(frozen=True)
class Device:
    """A device's record. `updated_at` moves whenever it is provisioned or changed.

    `protocol` is that of its newest credential, None before the first. `upstream_id` is the device that it runs
    on or speaks through. `needs_reprovisioning`: the broker has lost the newest credential, so the module cannot
    connect with it.
    """

    id: str
    site_id: str
    type: DeviceType
    hardware_id: str | None
    channel_id: str | None
    name: str
    slug: str
    protocol: Protocol | None
    embedded_type: EmbeddedType | None
    upstream_id: str | None
    blueprint_id: str | None
    created_at: datetime
    updated_at: datetime
    needs_reprovisioning: bool


@dataclass(frozen=True)
class CredentialDraft:
    """What is known of a credential before the registry numbers it.

    Either `serial` (lower-case hexadecimal, of the certificate) or `password_digest` is set.
    """

    protocol: Protocol
    serial: str | None = None
    password_digest: bytes | None = field(default=None, repr=False)
    not_after: datetime | None = None


@dataclass(frozen=True)
class Issue:
    """A credential on its way into the registry. Those before it end `grace` after `at`, unless sooner."""

    number: int
    draft: CredentialDraft
    at: datetime
    grace: timedelta


@dataclass(frozen=True)
class Credential:
    """One issued credential. `valid_until` is None until a newer one for the same subject was issued."""

    subject: str
    number: int
    device_id: str | None
    protocol: Protocol
    serial: str | None
    password_digest: bytes | None = field(repr=False)
    issued_at: datetime
    not_after: datetime | None
    valid_until: datetime | None

    @property
    def ends_at(self) -> datetime | None:
        """When it stops to be accepted; None while nothing ends it."""
        ends = [moment for moment in (self.not_after, self.valid_until) if moment]
        return min(ends, default=None)

    def accepted_at(self, moment: datetime) -> bool:
        """Whether a broker accepts it then."""
        return self.ends_at is None or moment < self.ends_at


@dataclass(frozen=True)
class EndedCertificate:
    """A certificate that is no longer accepted, though its own dates would still let it in."""

    subject: str
    serial: str
    ended_at: datetime


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list, oldest first, and how many there are in all."""

    items: list[T]
    total: int
