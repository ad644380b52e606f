"""What the registry keeps: rows as values."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from ucm_site_api.messages import Protocol

Role = Literal["READONLY", "USER", "OWNER", "INSTALLER", "VENDOR"]

# The platform's roles are a total order: each includes those before it.
ROLES: tuple[Role, ...] = ("READONLY", "USER", "OWNER", "INSTALLER", "VENDOR")


@dataclass(frozen=True)
class Site:
    """One site; the server has one of its own from its first start on."""

    id: str
    name: str
    timezone: str


@dataclass(frozen=True)
class Device:
    """A module's record. `updated_at` moves whenever it is provisioned.

    `needs_reprovisioning`: the broker has lost the newest credential, so the module cannot connect with it.
    """

    id: str
    site_id: str
    type: str
    hardware_id: str
    channel_id: str
    name: str
    slug: str
    protocol: Protocol
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
class Enrolment:
    """What `Registry.enrol` is asked to record: the module, and the credential it is about to receive."""

    site_id: str | None
    type: str
    hardware_id: str
    channel_id: str
    name: str
    credential: CredentialDraft


@dataclass(frozen=True)
class EndedCertificate:
    """A certificate that is no longer accepted, though its own dates would still let it in."""

    serial: str
    ended_at: datetime


@dataclass(frozen=True)
class Page:
    """One page of a list, and how many there are in all."""

    devices: list[Device]
    total: int
