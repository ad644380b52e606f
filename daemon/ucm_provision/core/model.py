"""What the daemon talks about: modules, devices, configurations, evidence. Facts only, no behaviour.

Times are seconds since the Unix epoch, ``bytes`` are raw (never hex) unless a name says otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from ucm_provision.core.kinds import DeviceType, Kind
from ucm_provision.core.secret import Secret

_HARDWARE_ID = re.compile(r"[0-9A-Z]{32,33}")


def parse_hardware_id(text: str) -> str:
    """The hardware id in its normal form: 32 or 33 characters, digits and upper-case letters.

    Not only hexadecimal ones: virtual and standalone devices carry a letter in front, and the
    platform's own samples hold others.

    Raises:
        ValueError: the text is no hardware id.
    """
    normal = text.strip().upper()
    if not _HARDWARE_ID.fullmatch(normal):
        raise ValueError("a hardware id has 32 or 33 characters, digits and letters only")
    return normal


class Product(StrEnum):
    """What a module says it is. The names are the device link's and the API's alike."""

    UCM = "UCM"
    ELECTROLYSER = "ELECTROLYSER"
    DRYER = "DRYER"
    WATER_TANK = "WATER_TANK"
    LINK_MASTER = "LINK_MASTER"


class Carrier(StrEnum):
    """What the device link runs over: a serial line, or HTTP on the LAN."""

    SERIAL = "serial"
    HTTP = "http"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a module may be reached.

    A serial port's ``address`` is its name in /dev, and ``key`` names this very appearance of it: the same
    address with another key is a new plug. On the LAN ``address`` is the instance name that the module
    announces itself under, and ``key`` stays the same for as long as the module does.

    Attributes:
        routes: On the LAN, the likeliest first: ``host:port`` with an IPv4 address, or with an IPv6 address in
            brackets, with its zone if it is link-local. They change while the endpoint stays the same.
        driver: The link driver that a port is marked for; empty: what the configuration says.
    """

    carrier: Carrier
    address: str
    key: str
    routes: tuple[str, ...] = field(default=(), compare=False)
    driver: str = field(default="", compare=False)


def lan_key(hardware_id: str) -> str:
    """The key of the endpoint under which a module announces itself on the LAN."""
    return f"lan:{hardware_id}"


@dataclass(frozen=True, slots=True)
class Sighting:
    """A hint that a module may be (or no longer is) reachable. Never a proof of who it is.

    Attributes:
        announced_id: The hardware id that stands in the announcement, in normal form; empty on a serial port,
            where nothing is announced. It only says which proof of possession to try.
        state: What the module says of its configuration: ``new``, ``trial`` or ``active``; else empty.
    """

    endpoint: Endpoint
    present: bool
    announced_id: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True)
class GatewaySighting:
    """A Gateway's provisioning API, as seen on the LAN. Never trusted before an operator has accepted it.

    Attributes:
        name: The service's instance name; hostile text, bounded and printable.
        host: The host name without a trailing dot, e.g. ``enapter-gateway.local``.
        addresses: IP addresses as text, link-local ones with their zone.
    """

    name: str
    host: str
    port: int
    addresses: tuple[str, ...]


# ---- what a module says over the device link -----------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConfigState:
    """One configuration slot of a module. ``sha256`` is of the configuration as it was sent."""

    generation: int
    sha256: bytes
    device_id: str
    ssids: tuple[str, ...]
    owner: str
    transaction: bytes


@dataclass(frozen=True, slots=True)
class Reservation:
    owner: str
    remaining_s: int


@dataclass(frozen=True, slots=True)
class Attached:
    """A LINK slave behind a LINK master."""

    hardware_id: str
    model: str


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """Who a module is and what it holds, read inside the secure session."""

    hardware_id: str
    product: Product
    model: str
    firmware: str
    channel_id: str
    active: ConfigState | None
    trial: ConfigState | None
    reservation: Reservation | None
    attached: tuple[Attached, ...]
    uptime_ms: int
    clock_unix_ms: int


class Phase(StrEnum):
    """How far a module's own connection got."""

    IDLE = "IDLE"
    WIFI = "WIFI"
    DHCP = "DHCP"
    TIME = "TIME"
    TLS = "TLS"
    MQTT = "MQTT"
    ONLINE = "ONLINE"


class Reason(StrEnum):
    """Why a module's own connection got no further."""

    WIFI_AUTH_FAILED = "WIFI_AUTH_FAILED"
    WIFI_NOT_FOUND = "WIFI_NOT_FOUND"
    DHCP_TIMEOUT = "DHCP_TIMEOUT"
    DNS_FAILED = "DNS_FAILED"
    TIME_TIMEOUT = "TIME_TIMEOUT"
    TCP_REFUSED = "TCP_REFUSED"
    TCP_TIMEOUT = "TCP_TIMEOUT"
    TLS_UNTRUSTED = "TLS_UNTRUSTED"
    TLS_EXPIRED = "TLS_EXPIRED"
    TLS_REJECTED = "TLS_REJECTED"
    MQTT_NOT_AUTHORIZED = "MQTT_NOT_AUTHORIZED"
    MQTT_UNAVAILABLE = "MQTT_UNAVAILABLE"
    TRIAL_EXPIRED = "TRIAL_EXPIRED"
    CONFIG_INVALID = "CONFIG_INVALID"
    ABORTED = "ABORTED"
    NONE = "NONE"


@dataclass(frozen=True, slots=True)
class LastTrial:
    transaction: bytes
    generation: int
    phase: Phase
    reason: Reason


@dataclass(frozen=True, slots=True)
class LinkState:
    """The live connection of a module. Only to be believed for the generation it names."""

    phase: Phase
    reason: Reason
    generation: int
    rssi_dbm: int
    ip: str
    ssid: str
    clock_offset_ms: int
    detail: str
    last_trial: LastTrial | None


@dataclass(frozen=True, slots=True)
class HeardNetwork:
    """A Wi-Fi network that a module hears. ``ssid``: empty where it hides its name; ``bssid``: 6 bytes."""

    ssid: str
    bssid: bytes
    channel: int
    rssi_dbm: int
    security: str


@dataclass(frozen=True, slots=True)
class ProofOfPossession:
    """The secret on a module's label, and the user name that its verifier was made with."""

    secret: Secret[str]
    username: str = "wifiprov"


# ---- what the provisioning API says --------------------------------------------------------------


class MqttProtocol(StrEnum):
    MQTT = "MQTT"
    MQTTS = "MQTTS"


class TimeProtocol(StrEnum):
    NTP = "NTP"
    HTTP = "HTTP"


@dataclass(frozen=True, slots=True)
class PasswordCredentials:
    username: str
    password: Secret[str]


@dataclass(frozen=True, slots=True)
class TlsCredentials:
    """DER throughout. ``private_key`` is PKCS#8, ``ca_chain`` the only trust anchors for the broker.

    ``not_before``, ``not_after``: when the certificate is valid, in seconds since the epoch.
    """

    private_key: Secret[bytes]
    certificate: bytes
    ca_chain: tuple[bytes, ...]
    not_before: float | None = None
    not_after: float | None = None


@dataclass(frozen=True, slots=True)
class KeepCredentials:
    """The module keeps those of its active configuration; they never leave it."""


@dataclass(frozen=True, slots=True)
class TimeSource:
    protocol: TimeProtocol
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Connection:
    """What a module needs to reach the broker, as the API gave it (overrides already applied)."""

    hardware_id: str
    channel_id: str
    mqtt_host: str
    mqtt_port: int
    credentials: PasswordCredentials | TlsCredentials | KeepCredentials
    time_source: TimeSource


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the site's configuration puts in place of the API's answer. None leaves the answer as it is."""

    mqtt_host: str | None = None
    mqtt_port: int | None = None
    time_source: TimeSource | None = None


@dataclass(frozen=True, slots=True)
class GatewaySite:
    """What the API wants to know of a Gateway beside its hardware id. Degrees, north and east positive."""

    version: str
    name: str
    timezone: str
    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class ProvisionArguments:
    """The arguments of one provisioning call. Fixed in the journal before the first call: they repeat for ever.

    Empty or None where the call of this kind does not have them.
    """

    kind: Kind
    hardware_id: str = ""
    site_id: str = ""
    name: str = ""
    protocol: MqttProtocol | None = None
    device_type: DeviceType | None = None
    master_device_id: str = ""
    runtime_id: str = ""
    blueprint_id: str = ""
    slug: str = ""
    gateway: GatewaySite | None = None


@dataclass(frozen=True, slots=True)
class Provisioned:
    """The answer to a provisioning call. ``config`` is the API's JSON as it came, for kinds that get one."""

    device_id: str
    slug: str = ""
    connection: Connection | None = None
    config: Secret[bytes] = field(default_factory=lambda: Secret(b""), compare=False)


@dataclass(frozen=True, slots=True)
class Device:
    """A module's record in the provisioning API. ``config_generation`` is what the module last registered."""

    id: str
    slug: str
    name: str
    site_id: str
    hardware_id: str
    online: bool | None
    config_generation: int | None


@dataclass(frozen=True, slots=True)
class WifiNetwork:
    """A network to join. An open network has an empty passphrase. ``bssid``: the one access point, 6 bytes, or any."""

    ssid: str
    passphrase: Secret[str] = field(default_factory=lambda: Secret(""))
    hidden: bool = False
    bssid: bytes = b""


@dataclass(frozen=True, slots=True)
class ModuleConfiguration:
    """Everything that is pushed to a module as one transaction."""

    device_id: str
    connection: Connection
    wifi: tuple[WifiNetwork, ...]


# ---- evidence ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message of a module, seen at the broker by somebody other than the module."""

    topic: str
    config_generation: int | None
    at: float


class Source(StrEnum):
    """Who saw the module independently of its own report."""

    WITNESS = "witness"
    API = "api"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a module counts as verified: its own report and an independent sight, both at ``generation``.

    Of a module that is not configured the API's record is all there is: generation 0, and IDLE for its report.
    """

    generation: int
    reported_phase: Phase
    reported_at: float
    rssi_dbm: int
    ssid: str
    seen_by: Source
    seen_what: str
    seen_generation: int | None
    seen_at: float
