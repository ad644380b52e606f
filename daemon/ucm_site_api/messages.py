"""Bodies of the HTTP API, by the names the platform gives them: these types judge what comes in, shape what goes
out, and are what the OpenAPI document is made from.

Unknown keys are ignored and optional keys may be null, because the platform's clients send both.
"""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Protocol = Literal["MQTT", "MQTTS"]
EmbeddedType = Literal["ELECTROLYSER", "DRYER", "WATER_TANK"]
Role = Literal["READONLY", "USER", "OWNER", "INSTALLER", "VENDOR", "SYSTEM"]
DeviceType = Literal[
    "HARDWARE_UCM", "VIRTUAL_UCM", "EMBEDDED_UCM", "LINK_MASTER_UCM", "LINK_SLAVE_UCM", "STANDALONE", "LUA", "GATEWAY"
]

HardwareId = Annotated[str, Meta(pattern="^[0-9A-Za-z]{32,33}$", description="Read as upper case.")]
Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\S", description="Without control characters.")]
Slug = Annotated[str, Meta(max_length=63, pattern="^[a-z0-9]+(-[a-z0-9]+)*$", description="Unique within its site.")]
# The platform's clients send an empty text for "none".
SlugWish = Annotated[str, Meta(max_length=63, pattern="^([a-z0-9]+(-[a-z0-9]+)*)?$")]
# The platform's samples look like UUIDs and are none.
OpaqueId = Annotated[str, Meta(min_length=1, max_length=255)]
Timezone = Annotated[str, Meta(min_length=1, max_length=255, description="A name of the IANA time zone database.")]


class ProvisionUcm(Struct, frozen=True):
    """Body of `POST provisioning/ucm`. Without `site_id` the server's only site is meant, here and below."""

    hardware_id: HardwareId
    name: Name
    protocol: Protocol
    site_id: OpaqueId | None = None


class ProvisionEmbedded(Struct, frozen=True):
    """Body of `POST provisioning/embedded`."""

    device_type: EmbeddedType
    hardware_id: HardwareId
    name: Name
    protocol: Protocol
    site_id: OpaqueId | None = None


class ProvisionLocal(Struct, frozen=True):
    """Body of `POST provisioning/vucm` and `POST provisioning/link_master`: devices of the Gateway itself."""

    hardware_id: HardwareId
    name: Name
    site_id: OpaqueId | None = None


class ProvisionLinkSlave(Struct, frozen=True):
    """Body of `POST provisioning/link_slave`.

    The published sample names the master `master_device_id`, the table below it `device_id`; the first goes before.
    """

    hardware_id: HardwareId
    name: Name
    site_id: OpaqueId | None = None
    master_device_id: OpaqueId | None = None
    device_id: OpaqueId | None = None


class ProvisionStandalone(Struct, frozen=True):
    """Body of `POST provisioning/standalone`."""

    name: Name
    site_id: OpaqueId | None = None
    slug: SlugWish | None = None


class ProvisionLua(Struct, frozen=True):
    """Body of `POST provisioning/lua_device`. `runtime_id` is the device that the script runs on."""

    runtime_id: OpaqueId
    blueprint_id: OpaqueId
    name: Name
    slug: SlugWish | None = None


# The platform's documentation has texts in one place and numbers in another.
_DEGREES = r"^-?[0-9]{1,3}(\.[0-9]{1,20})?$"
Latitude = Annotated[float, Meta(ge=-90, le=90)] | Annotated[str, Meta(pattern=_DEGREES)]
Longitude = Annotated[float, Meta(ge=-180, le=180)] | Annotated[str, Meta(pattern=_DEGREES)]


class Position(Struct, frozen=True):
    """Degrees."""

    latitude: Latitude
    longitude: Longitude


class LocationWish(Struct, frozen=True):
    """Where a site is, as clients send it: with a name, and at times without coordinates."""

    name: str | None = None
    latitude: Latitude | None = None
    longitude: Longitude | None = None


class ProvisionGateway(Struct, frozen=True):
    """Body of `POST provisioning/gateway`."""

    site_id: OpaqueId
    hardware_id: HardwareId
    gateway_version: Annotated[str, Meta(max_length=255)]
    site_name: Name
    site_timezone: Timezone
    site_location: Position | None = None


class CreateSite(Struct, frozen=True):
    """Body of `POST sites`."""

    name: Name
    timezone: Timezone
    location: LocationWish | None = None


class ChangeSite(Struct, frozen=True):
    """Body of `PATCH sites/{site}`; null leaves what there is."""

    name: Name | None = None
    timezone: Timezone | None = None
    location: LocationWish | None = None


class ChangeDevice(Struct, frozen=True):
    """Body of `PATCH devices/{device}`; null leaves what there is."""

    name: Name | None = None
    slug: SlugWish | None = None


class GenerateConfig(Struct, frozen=True):
    """Body of `POST devices/{device}/generate_config`."""

    protocol: Protocol


class AssignBlueprint(Struct, frozen=True):
    """Body of `POST devices/{device}/assign_blueprint`."""

    blueprint_id: OpaqueId


class PasswordCredentials(Struct, frozen=True, tag_field="protocol", tag="MQTT"):
    """`mqtt_credentials` of the plaintext listener."""

    username: str
    password: str
    protocol: ClassVar[Literal["MQTT"]] = "MQTT"

    def __repr__(self) -> str:
        """Without the secret."""
        return f"PasswordCredentials(username={self.username!r})"


class CertificateCredentials(Struct, frozen=True, tag_field="protocol", tag="MQTTS"):
    """`mqtt_credentials` of the TLS listener, each PEM; the key is PKCS#8."""

    private_key: str
    certificate: str
    ca_chain: str
    protocol: ClassVar[Literal["MQTTS"]] = "MQTTS"

    def __repr__(self) -> str:
        """Without the secret."""
        return "CertificateCredentials()"


class CommunicationConfig(Struct, frozen=True):
    """`config` of a provisioning answer.

    `mqtt_protocol` repeats `mqtt_credentials.protocol`: the published page has the inner one, the platform's
    Python SDK reads the outer one, and fails without it.
    """

    mqtt_host: str
    mqtt_port: int
    mqtt_protocol: Protocol
    mqtt_credentials: PasswordCredentials | CertificateCredentials
    time_sync_protocol: Literal["HTTP", "NTP"]
    time_sync_host: str
    time_sync_port: int
    hardware_id: str
    channel_id: str


class Configured(Struct, frozen=True):
    """Answer to `POST devices/{device}/generate_config`."""

    config: CommunicationConfig


class Provisioned(Struct, frozen=True):
    """Answer to the provisioning of a device that the platform gives no slug."""

    device_id: str


class ProvisionedSlug(Struct, frozen=True):
    """Answer to `POST provisioning/standalone` and `POST provisioning/lua_device`."""

    device_id: str
    slug: str


class ProvisionedUcm(Struct, frozen=True):
    """Answer to `POST provisioning/ucm` and `POST provisioning/embedded`."""

    config: CommunicationConfig
    device_id: str
    slug: str


class ProvisionedGateway(Struct, frozen=True):
    """Answer to `POST provisioning/gateway`."""

    config: CommunicationConfig
    gateway_device_id: str


class Location(Struct, frozen=True):
    """Where a site is, in degrees; the name may be empty."""

    name: str
    latitude: float | None = None
    longitude: float | None = None


class SiteView(Struct, frozen=True, omit_defaults=True):
    """A site as the platform shows it."""

    id: str
    name: str
    timezone: str
    version: str
    authorized_role: Role
    archived: bool
    location: Location | UnsetType = UNSET


class Connectivity(Struct, frozen=True):
    """Whether messages of a device are recent."""

    status: Literal["ONLINE", "OFFLINE", "UNKNOWN"]


class Communication(Struct, frozen=True):
    """How a device is connected."""

    type: Literal["MQTT_V1_PLAINTEXT", "MQTT_V1_TLS", "MQTT_V1_LOCALHOST", "UCM_LUA", "LINK"]
    upstream_id: str | None
    hardware_id: str | None
    channel_id: str | None
    needs_reprovisioning: bool


class DeviceView(Struct, frozen=True, kw_only=True):
    """A device as the platform shows it; what has a default is there if `expand` asks for it."""

    id: str
    blueprint_id: str
    name: str
    site_id: str
    updated_at: str
    slug: str
    type: DeviceType
    authorized_role: Role
    connectivity: Connectivity | UnsetType = UNSET
    communication: Communication | UnsetType = UNSET
    properties: dict[str, Any] | UnsetType = UNSET
    site: SiteView | UnsetType = UNSET


class DeviceAnswer(Struct, frozen=True):
    """One device."""

    device: DeviceView


class DeviceList(Struct, frozen=True):
    """One page of devices, oldest first, and how many there are in all."""

    devices: list[DeviceView]
    total_count: int


class SiteAnswer(Struct, frozen=True):
    """One site."""

    site: SiteView


class SiteList(Struct, frozen=True):
    """One page of sites, oldest first, and how many there are in all."""

    sites: list[SiteView]
    total_count: int


class Nothing(Struct, frozen=True):
    """An object without keys: the answer to a deletion."""


class ErrorEntry(Struct, frozen=True):
    """One error: `code` is a stable word for programs, `message` a sentence for people."""

    code: str
    message: str
    details: dict[str, Any] | UnsetType = UNSET


class ErrorEnvelope(Struct, frozen=True):
    """The body of every refusal; the list is never empty, because clients take its first entry."""

    errors: Annotated[list[ErrorEntry], Meta(min_length=1)]


class WitnessConfig(Struct, frozen=True):
    """The witness's own credentials, under the keys of a device's `config`."""

    mqtt_host: str
    mqtt_port: int
    mqtt_protocol: Literal["MQTTS"]
    mqtt_credentials: CertificateCredentials


class PasswordWitnessConfig(Struct, frozen=True):
    """The same for a witness without a certificate."""

    mqtt_host: str
    mqtt_port: int
    mqtt_protocol: Literal["MQTT"]
    mqtt_credentials: PasswordCredentials
